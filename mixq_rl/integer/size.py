"""Size of an integer network, and of its float32 network, in bytes."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn.step import distinct_weights
from mixq_rl.quantization import QTensor
from mixq_rl.storage.artifacts import pack

__all__ = ["ModelSize", "float_bytes"]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class ModelSize:
    """Size of an integer network, in bytes.

    Attributes:
        weights: bytes of the weights' integers, packed to 1, 2, 4 or 8 bits each.
        tensors: bytes of all tensors: weights, fixed-point scales, biases and tables.
        files: bytes of the two files that :meth:`~mixq_rl.IntegerModel.save` writes.
        float32: bytes of the float32 network: weights and biases, batch normalisation folded into them.
    """

    weights: int
    tensors: int
    files: int
    float32: int

    @classmethod
    def of(cls, model: IntegerModel, folder: str | PathLike[str]) -> Self:
        """Return the size of a model that was saved into a folder."""
        tensors: dict[str, Tensor] = {}
        pack(model, "model", tensors)
        return cls(
            weights=sum(
                part.payload.nbytes
                for part in _parts(tuple(distinct_weights(model.steps)))
                if isinstance(part, QTensor)
            ),
            tensors=sum(tensor.nbytes for tensor in tensors.values()),
            files=sum((Path(folder) / name).stat().st_size for name in IntegerModel.FILES),
            float32=float_bytes(model),
        )


def float_bytes(model: IntegerModel) -> int:
    """Return the bytes of the float32 network of an integer network: weights and biases."""
    return _FLOAT_BYTES * sum(step.num_parameters for step in distinct_weights(model.steps))


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and all values inside it."""
    yield value
    inner: tuple[Any, ...] = ()
    if isinstance(value, tuple):
        inner = value
    elif dataclasses.is_dataclass(value):
        inner = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
    for part in inner:
        yield from _parts(part)
