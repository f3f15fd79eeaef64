"""The frozen integer network: execute, save, load."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

from torch import Tensor

from mixq_rl.adjacency import Adjacency
from mixq_rl.errors import ArtifactError, InputError, SumOverflowError
from mixq_rl.nn.bounds import check_linear
from mixq_rl.nn.gcn import IntegerAdjacency, IntegerGCNConv
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.quantization import QTensor, Quantizer
from mixq_rl.quantization.integer_range import within
from mixq_rl.serialization import load_artifact, pack, save_artifact, storable, unpack

__all__ = ["IntegerModel"]

_VERSION = 2


@storable
@dataclass(frozen=True)
class IntegerModel:
    """A network that executes on integers only.

    Features and adjacency are quantized on the way in; between there and the last layer's integers, which are scaled
    into logits, no floating-point number takes part.

    Attributes:
        input: quantizes the node features.
        layers: in execution order.
        allocation: the bit-width of each component.
    """

    input: Quantizer
    layers: tuple[IntegerGCNConv, ...]
    allocation: tuple[int, ...]

    @classmethod
    def freeze(cls, model: QuantizableModel, allocation: Sequence[int]) -> Self:
        """Freeze ``model`` at one allocation.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        with model.allocated(allocation):
            source, layers = model.freeze_layers()
        return cls(source, layers, tuple(int(bits) for bits in allocation))

    def quantize_features(self, x: Tensor) -> QTensor:
        """Quantize node features, ``[nodes, features]``, floating point."""
        return self.input.quantize(x)

    def quantize_graph(self, adjacency: Adjacency) -> tuple[IntegerAdjacency, ...]:
        """Quantize a graph's adjacency for every layer.

        Raises:
            SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
        """
        return tuple(layer.quantize_adjacency(adjacency) for layer in self.layers)

    def execute(self, x: QTensor, adjacencies: Sequence[IntegerAdjacency]) -> QTensor:
        """Return the last layer's integers, ``[nodes, classes]``; integer tensors only from here to there."""
        for layer, adjacency in zip(self.layers, adjacencies, strict=True):
            x = layer(x, adjacency)
        return x

    def __call__(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the logits for a graph, also one never seen before.

        Args:
            x: node features, ``[nodes, features]``, floating point.
            edge_index: int64, ``[2, edges]``.

        Returns:
            ``[nodes, classes]`` in the dtype of ``x``.

        Raises:
            InputError: for features that are not floating point, or whose rows are far beyond the calibration data.
            InvalidGraphError: for an edge to a node that does not exist.
            SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
        """
        if not x.is_floating_point():
            raise InputError(f"features are {x.dtype}: convert them to a floating-point dtype")
        adjacency = Adjacency.gcn(edge_index, x.shape[0])
        return self.execute(self.quantize_features(x), self.quantize_graph(adjacency)).dequantize().to(x.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as they are held."""
        return sum(layer.weight.nbytes for layer in self.layers)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model into the folder ``path`` as safetensors and JSON."""
        tensors: dict[str, Tensor] = {}
        config = {"model": pack(self, "model", tensors)}
        save_artifact(Path(path), "integer_model", _VERSION, config, tensors)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: if it is missing, damaged, of another kind or format version, or could overflow.
        """
        config, tensors = load_artifact(Path(path), "integer_model", _VERSION)
        model: Self = unpack(config.get("model"), cls, "model", tensors)
        model._check(path)
        return model

    def _check(self, path: str | PathLike[str]) -> None:
        offered, zero_point = self.input.range, self.input.zero_point
        executed, columns = [offered.bits], None
        for layer in self.layers:
            weight, values = layer.weight, layer.weight.values
            if columns not in (None, weight.shape[0]):
                raise ArtifactError(f"{path}: weights of layer {layer.name!r} do not fit what comes before")
            columns = weight.shape[1]
            multipliers = (layer.message.multiplier, layer.aggregate.multiplier, layer.aggregate.bias)
            if any(entry is not None and entry.shape not in ((), (columns,)) for entry in multipliers):
                raise ArtifactError(f"{path}: multipliers of layer {layer.name!r} do not fit its {columns} columns")
            if not weight.range.signed or not within(values, weight.range.minimum, weight.range.maximum):
                raise ArtifactError(
                    f"{path}: weights of layer {layer.name!r} are not signed integers of {weight.bits} bits"
                )
            executed += [weight.bits, layer.message.range.bits, layer.adjacency.range.bits, layer.aggregate.range.bits]
            try:
                check_linear(layer.name, values, offered, zero_point)
            except SumOverflowError as error:
                raise ArtifactError(f"{path}: {error}") from error
            offered, zero_point = layer.aggregate.range, layer.aggregate.zero_point
        if not self.layers or tuple(executed) != self.allocation:
            raise ArtifactError(f"{path}: its allocation {self.allocation} is not what its layers have, {executed}")
