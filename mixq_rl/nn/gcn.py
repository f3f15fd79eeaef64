"""Graph convolution: float, fake-quantized and integer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.adjacency import Adjacency
from mixq_rl.metering import OpRecord, operation
from mixq_rl.nn import records
from mixq_rl.nn.bounds import check_aggregate, check_linear
from mixq_rl.quantization import (
    FakeQuantized,
    FixedPoint,
    Granularity,
    LearnedQuantizer,
    PackedRows,
    QTensor,
    Quantizer,
    Requantization,
)
from mixq_rl.serialization import storable
from mixq_rl.sparse import SparseMatrix

__all__ = ["GCNConv", "IntegerAdjacency", "IntegerGCNConv"]

# Row scales d^(-1/2) of an adjacency with self-loops never exceed 1.
_ROW_EXPONENT = 30


class GCNConv(nn.Module):
    r"""The graph convolution of Kipf and Welling (2017), with a bit-width for each of its parts.

    .. math::
        X' = \sigma\left(\hat{D}^{-1/2} (A + I) \hat{D}^{-1/2} X W + b\right)

    On integers, with :math:`x \approx s_{x,i} s_x (q - z)`, :math:`w \approx s_{w,j} \omega` and
    :math:`\hat a_{ij} \approx d_i^{-1/2} s_a (\alpha_{ij} - z_a)`: message
    :math:`\xi = \mathrm{requantize}(\sum (q - z) \omega)`, aggregate
    :math:`\mathrm{requantize}(\sum (\alpha - z_a)(\xi - z_m))`. All row scales, column scales and the bias are folded
    into the two requantizations; :math:`\sigma` (ReLU) is the lower end of an unsigned range.

    Components: ``input`` (only where ``source`` is None), ``weight``, ``message`` (XW), ``adjacency``, ``aggregate``.

    Args:
        in_channels: features of a node.
        out_channels: features of a node afterwards.
        name: of the layer; its components are called ``name.weight`` and so on.
        source: name of the component that feeds the layer, or None if it quantizes its own real input.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, name: str, source: str | None = None, relu: bool = False
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.name = name
        self.relu = relu
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        quantizers = [
            LearnedQuantizer(f"{name}.weight", "weight", signed=True, granularity=Granularity.COLUMN),
            LearnedQuantizer(f"{name}.message", "message", signed=True, affine=True),
            LearnedQuantizer(f"{name}.adjacency", "adjacency", signed=None),
            LearnedQuantizer(f"{name}.aggregate", "aggregate", signed=not relu, affine=not relu),
        ]
        if source is None:
            quantizers.insert(0, LearnedQuantizer(f"{name}.input", "input", signed=None, granularity=Granularity.ROW))
        self.quantizers = nn.ModuleDict({quantizer.kind: quantizer for quantizer in quantizers})
        self.source = f"{name}.input" if source is None else source
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def quantizer(self, kind: str) -> LearnedQuantizer:
        """Return the quantizer of the layer's component of this kind."""
        quantizer = self.quantizers[kind]
        assert isinstance(quantizer, LearnedQuantizer)
        return quantizer

    def forward(self, x: Tensor | SparseMatrix, adjacency: Adjacency) -> Tensor:
        """The float layer."""
        if "input" in self.quantizers and isinstance(x, Tensor):
            x = self.quantizer("input").observe(x)
        weight = self.quantizer("weight").observe(self.weight)
        value = self.quantizer("adjacency").observe(adjacency.value).to(x.dtype)
        with operation(lambda: records.float_linear(self.name, self.source, x, weight), value.device):
            message = self.quantizer("message").observe(x @ weight)
        with operation(lambda: records.float_aggregate(self.name, value, adjacency.csr, message), value.device):
            aggregate = adjacency.csr.matmul(value, message) * adjacency.row_scale.to(x.dtype) + self.bias
            aggregate = aggregate.relu() if self.relu else aggregate
        return self.quantizer("aggregate").observe(aggregate)

    def fake_quantized_forward(self, x: FakeQuantized, adjacency: Adjacency) -> FakeQuantized:
        """The integer layer's arithmetic in floating point, with gradients."""
        dtype = x.values.dtype
        weight = self.quantizer("weight").fake_quantize(self.weight)
        message = self.quantizer("message").fake_requantize(x.values @ weight.dense, x.scale * weight.scale, row=x.row)
        alpha = self.quantizer("adjacency").fake_quantize(adjacency.value.to(dtype))
        return self.quantizer("aggregate").fake_requantize(
            adjacency.csr.matmul(alpha.dense, message.dense),
            alpha.scale * message.scale,
            bias=self.bias,
            row=FixedPoint.nearest(adjacency.row_scale, _ROW_EXPONENT),
        )

    def check_sums(self, adjacency: Adjacency) -> None:
        """Check that no sum over neighbours can overflow at the bit-widths in force.

        Raises:
            SumOverflowError: naming layer and node.
        """
        alpha, message = self.quantizer("adjacency"), self.quantizer("message")
        check_aggregate(self.name, adjacency.csr, alpha.range, alpha.zero_point, message.range, message.zero_point)

    def freeze(self, source: Quantizer) -> "IntegerGCNConv":
        """Return the integer layer at the bit-widths in force, fed by what ``source`` quantizes."""
        quantizer = self.quantizer("weight").quantizer()
        values = quantizer.integers(self.weight.detach())
        check_linear(self.name, values, source.range, source.zero_point)
        weight = QTensor.pack(values, quantizer.range, quantizer.scale)
        message, aggregate = self.quantizer("message"), self.quantizer("aggregate")
        adjacency = self.quantizer("adjacency").quantizer()
        return IntegerGCNConv(
            name=self.name,
            source=self.source,
            weight=weight,
            message=message.requantization(source.scale * weight.scale, None, source.row_exponent),
            adjacency=adjacency,
            aggregate=aggregate.requantization(adjacency.scale * message.quantizer().scale, self.bias, _ROW_EXPONENT),
            aggregate_scale=aggregate.quantizer().scale,
        )

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, relu={self.relu}"


@dataclass(frozen=True)
class IntegerAdjacency:
    """A layer's quantized adjacency.

    Attributes:
        rowptr, col: the structure, int32 (CSR).
        weight: the integers alpha of the edges, int8 or uint8 ``[edges]``: a byte each at any bit-width, since beside
            each lies an index of four bytes, and the row that it fetches.
        row: fixed-point scales of the rows.
    """

    rowptr: Tensor
    col: Tensor
    weight: Tensor
    row: FixedPoint


@storable
@dataclass(frozen=True)
class IntegerGCNConv:
    """:class:`GCNConv` frozen at one allocation: integers only.

    Attributes:
        name: of the layer.
        source: name of the component that feeds it.
        weight: ``[in_channels, out_channels]``, signed, a scale for each column.
        message: from the sums of the product to the message's integers.
        adjacency: quantizes the adjacency of a graph on the way in.
        aggregate: from the sums over neighbours to the aggregate's integers.
        aggregate_scale: float64 scalar, to read them.
    """

    name: str
    source: str
    weight: QTensor
    message: Requantization
    adjacency: Quantizer
    aggregate: Requantization
    aggregate_scale: Tensor

    def quantize_adjacency(self, adjacency: Adjacency) -> IntegerAdjacency:
        """Quantize a graph's adjacency for this layer.

        Raises:
            SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
        """
        check_aggregate(
            self.name,
            adjacency.csr,
            self.adjacency.range,
            self.adjacency.zero_point,
            self.message.range,
            self.message.zero_point,
        )
        return IntegerAdjacency(
            adjacency.csr.rowptr,
            adjacency.csr.col,
            self.adjacency.integers(adjacency.value),
            FixedPoint.nearest(adjacency.row_scale, _ROW_EXPONENT),
        )

    def __call__(self, x: QTensor, adjacency: IntegerAdjacency) -> QTensor:
        """Execute the layer on integers.

        Args:
            x: ``[nodes, in_channels]``.
            adjacency: of the graph, quantized by :meth:`quantize_adjacency`.

        Returns:
            ``[nodes, out_channels]``.
        """
        with operation(lambda: self._linear_record(x), x.payload.data.device):
            message = kernels.linear_requantize(
                x.payload, self.weight.payload, self.message, x_zero_point=x.zero_point, row=x.row
            )
        with operation(lambda: self._aggregate_record(adjacency, message), message.data.device):
            aggregate = kernels.aggregate_requantize(
                adjacency.rowptr,
                adjacency.col,
                adjacency.weight,
                message,
                self.aggregate,
                weight_zero_point=self.adjacency.zero_point,
                x_zero_point=self.message.zero_point,
                row=adjacency.row,
            )
        return QTensor(aggregate, self.aggregate_scale, self.aggregate.zero_point)

    def _linear_record(self, x: QTensor) -> OpRecord:
        return records.integer_linear(self.name, self.source, x, self.weight, self.message)

    def _aggregate_record(self, adjacency: IntegerAdjacency, message: PackedRows) -> OpRecord:
        bits = self.adjacency.range.bits
        return records.integer_aggregate(self.name, adjacency.rowptr, adjacency.weight, bits, message, self.aggregate)
