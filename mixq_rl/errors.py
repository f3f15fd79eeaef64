"""Exceptions for mistakes of the user, and for evaluations that fail.

Each message about a mistake names the value, the reason and the remedy.
"""

__all__ = [
    "ArtifactError",
    "BitWidthError",
    "DataNotFoundError",
    "EvaluationError",
    "InputError",
    "InvalidGraphError",
    "ScaleError",
    "SumOverflowError",
    "UnknownNameError",
    "UnsupportedLayerError",
]


class InputError(ValueError):
    """An invalid input. The command line prints the message in one line and exits with code 2."""


class UnknownNameError(InputError):
    """A name that is not in a registry."""


class DataNotFoundError(InputError):
    """Files of a dataset that are missing or damaged."""


class InvalidGraphError(InputError):
    """A graph with inconsistent data: labels of the wrong length, edges to nodes that do not exist, NaN features."""


class BitWidthError(InputError):
    """A bit-width outside 1...8, or one that is not on offer."""


class ScaleError(InputError):
    """A scale that fixed-point numbers cannot represent together with the other scales."""


class SumOverflowError(InputError, OverflowError):
    """A sum that might overflow int32."""


class UnsupportedLayerError(InputError):
    """A layer, function or option of a float model that cannot be executed on integers."""


class ArtifactError(InputError):
    """A saved policy or model that is damaged, of another kind, or of an unknown format version."""


class EvaluationError(RuntimeError):
    """An allocation that could not be evaluated, or workers that cannot evaluate any."""
