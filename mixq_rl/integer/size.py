"""What an integer network takes in bytes, beside the float32 network that it stands for."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn.propagation import IntegerPropagate
from mixq_rl.quantization import QTensor
from mixq_rl.quantization.alignment import FixedPointSum
from mixq_rl.quantization.requantization import FixedPointMap

__all__ = ["ModelSize"]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class ModelSize:
    """Bytes of an integer network.

    Attributes:
        weights: its weights' integers, packed: 1, 2, 4 or 8 bits each.
        tensors: all its tensors: weights, fixed-point scales, biases and tables.
        files: the two files that :meth:`~mixq_rl.IntegerModel.save` writes.
        float32: weights and biases of the float32 network, batch normalisation folded into them.
    """

    weights: int
    tensors: int
    files: int
    float32: int

    @classmethod
    def of(cls, model: IntegerModel, folder: str | PathLike[str]) -> Self:
        """Return the size of a model that was saved into a folder."""
        parts = list(_parts(model))
        weights = [part for part in parts if isinstance(part, QTensor)]
        biases = [part.bias for part in parts if isinstance(part, FixedPointMap | FixedPointSum)]
        epsilons = [part.epsilon for part in parts if isinstance(part, IntegerPropagate)]
        learned = sum(weight.shape[0] * weight.shape[1] for weight in weights)
        learned += sum(entry.numel() for entry in (*biases, *epsilons) if entry is not None)
        return cls(
            weights=sum(weight.payload.nbytes for weight in weights),
            tensors=sum(part.nbytes for part in parts if isinstance(part, Tensor)),
            files=sum((Path(folder) / name).stat().st_size for name in IntegerModel.FILES),
            float32=_FLOAT_BYTES * learned,
        )


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and all that it consists of."""
    yield value
    inner: tuple[Any, ...] = ()
    if isinstance(value, tuple):
        inner = value
    elif dataclasses.is_dataclass(value):
        inner = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    for part in inner:
        yield from _parts(part)
