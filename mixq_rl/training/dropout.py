"""Dropout that fades out during training."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from mixq_rl.nn.operator import Dropout
from mixq_rl.training.loop import Progress, cosine

__all__ = ["fading_dropout"]


@contextmanager
def fading_dropout(model: nn.Module, progress: Progress | None) -> Iterator[Progress]:
    """Let the dropout of a model fade out, by a cosine over the epochs, in a training inside a ``with`` block.

    Rounding to few bits regularises a network already, and a network with dropout as well has too little capacity to
    fit its teacher. Without any dropout, networks of 4 bits and more fit the training data too closely.

    Args:
        model: model to train. It has its probabilities again when the block ends.
        progress: called after each epoch, or None.

    Returns:
        the function that the training calls after each epoch.
    """
    initial = {module: module.p for module in model.modules() if isinstance(module, Dropout | nn.Dropout)}

    def fade(epoch: int, epochs: int) -> None:
        for module, p in initial.items():
            module.p = p * cosine(epoch, epochs)
        if progress is not None:
            progress(epoch, epochs)

    try:
        yield fade
    finally:
        for module, p in initial.items():
            module.p = p
