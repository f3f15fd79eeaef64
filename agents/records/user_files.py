"""Files of a user that a run depends on: the Python file of a model, and its weights."""

from collections.abc import Mapping
from pathlib import Path

from mixq_rl.errors import InputError
from mixq_rl.nn.model_file import ModelFile, names_file
from mixq_rl.nn.weights import weights_digest
from mixq_rl.printable import shell_word

__all__ = ["check_unchanged", "digests", "files_option"]

_SHOWN = 12  # characters of a hash in messages


def digests(model: str, weights: str | None) -> dict[str, str | None]:
    """Return the hashes of a model's file and of its weights, as values of fields of a configuration.

    Args:
        model: name of a model, or a class or function in a Python file.
        weights: path of a file of weights, or None.

    Raises:
        InputError: if a file cannot be read.
    """
    return {
        "model_sha256": ModelFile.parse(model).digest() if names_file(model) else None,
        "weights_sha256": None if weights is None else weights_digest(Path(weights)),
    }


def check_unchanged(model: str, weights: str | None, expected: Mapping[str, str | None]) -> None:
    """Check that a model's file and its weights have the content with which their run began.

    Args:
        model, weights: as in :func:`digests`.
        expected: hashes of the content with which the run began, by name of the field; None: not known.

    Raises:
        InputError: naming the file that has changed, or that cannot be read.
    """
    files = {"model_sha256": f"{model!r}, or a module beside it that it imports,", "weights_sha256": repr(weights)}
    for field, found in digests(model, weights).items():
        before = expected[field]
        if before is not None and before != found:
            raise InputError(
                f"{files[field]} is not what the run began with (SHA-256 {str(found)[:_SHOWN]}..., not "
                f"{before[:_SHOWN]}...): restore it, or begin a new run"
            )


def files_option(model: str | None, weights: str | None) -> str:
    """Return the options that name a model's file and its weights, with a space at the end; empty if there are none."""
    named = "" if model is None or not names_file(model) else f"--model {shell_word(model)} "
    return named if weights is None else f"{named}--weights {shell_word(weights)} "
