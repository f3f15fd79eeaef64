"""Exceptions a user can cause and mend; each message names the value, the reason and the remedy."""

__all__ = [
    "ArtifactError",
    "BitWidthError",
    "DataNotFoundError",
    "InputError",
    "InvalidGraphError",
    "ScaleError",
    "SumOverflowError",
    "UnknownNameError",
    "UnsupportedLayerError",
]


class InputError(ValueError):
    """Something given to the package is wrong. The command line answers it with one line and exit code 2."""


class UnknownNameError(InputError):
    """A name that no registry knows."""


class DataNotFoundError(InputError):
    """Files of a dataset that are not where they were looked for."""


class InvalidGraphError(InputError):
    """A graph that contradicts itself: labels of the wrong length, edges to nodes that do not exist, NaN features."""


class BitWidthError(InputError):
    """A bit-width outside 1...8, or one that is not on offer."""


class ScaleError(InputError):
    """A scale that fixed-point numbers cannot hold beside the others."""


class SumOverflowError(InputError, OverflowError):
    """A sum that int32 might not hold."""


class UnsupportedLayerError(InputError):
    """A layer, function or option of a float model that cannot be executed on integers."""


class ArtifactError(InputError):
    """A saved policy or model that is damaged, of another kind, or of an unknown format version."""
