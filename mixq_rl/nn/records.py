"""What the operations of a layer count for: the records that layers hand to the meter."""

from torch import Tensor

from mixq_rl.metering import OpRecord
from mixq_rl.quantization import PackedRows, QTensor, Requantization
from mixq_rl.sparse import CSR, SparseMatrix

__all__ = ["float_aggregate", "float_linear", "integer_aggregate", "integer_linear"]

_FLOAT_BITS = 32
_INDEX_BYTES = 4


def float_linear(layer: str, source: str, x: Tensor | SparseMatrix, weight: Tensor) -> OpRecord:
    """A product in floating point; sparse features count as the dense matrix that they stand for.

    Args:
        layer: name of the layer.
        source: name of the component that feeds it.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
    """
    rows, inputs, outputs = x.shape[0], x.shape[1], weight.shape[1]
    size = (rows * inputs + inputs * outputs + rows * outputs) * x.element_size()
    return _linear(layer, source, (rows, inputs, outputs), (_FLOAT_BITS,) * 3, size)


def integer_linear(layer: str, source: str, x: QTensor, weight: QTensor, result: Requantization) -> OpRecord:
    """A product of integers, requantized.

    Args:
        layer: name of the layer.
        source: name of the component that feeds it.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
        result: gives the integers of the result.
    """
    (rows, inputs), outputs = x.shape, weight.shape[1]
    size = x.payload.nbytes + weight.payload.nbytes + rows * result.range.row_bytes(outputs)
    return _linear(layer, source, (rows, inputs, outputs), (x.bits, weight.bits, result.range.bits), size)


def float_aggregate(layer: str, value: Tensor, csr: CSR, message: Tensor) -> OpRecord:
    """A sum over neighbours in floating point.

    Args:
        layer: name of the layer.
        value: of the edges.
        csr: where they are.
        message: what is gathered.
    """
    width = message.shape[1] * message.element_size()
    size = _aggregate_bytes(csr.num_rows, value.numel(), width, value.element_size(), width)
    return _aggregate(layer, (csr.num_rows, value.numel(), message.shape[1]), (_FLOAT_BITS,) * 3, size)


def integer_aggregate(
    layer: str, rowptr: Tensor, weight: Tensor, weight_bits: int, message: PackedRows, result: Requantization
) -> OpRecord:
    """A sum of integers over neighbours, requantized.

    Args:
        layer: name of the layer.
        rowptr: int32, ``[rows + 1]``.
        weight: of the edges, a byte each.
        weight_bits: bit-width of the adjacency.
        message: what is gathered.
        result: gives the integers of the result.
    """
    rows, edges, columns = rowptr.numel() - 1, weight.numel(), message.columns
    gathered = message.range.row_bytes(columns)
    size = _aggregate_bytes(rows, edges, gathered, weight.element_size(), result.range.row_bytes(columns))
    bits = (weight_bits, message.range.bits, result.range.bits)
    return _aggregate(layer, (rows, edges, columns), bits, size)


def _aggregate_bytes(rows: int, edges: int, gathered: int, weight: int, written: int) -> int:
    """For each edge its weight, its index and the row it gathers; for each row its pointer and what is written."""
    return edges * (weight + _INDEX_BYTES + gathered) + rows * (_INDEX_BYTES + written)


def _linear(layer: str, source: str, shape: tuple[int, int, int], bits: tuple[int, int, int], nbytes: int) -> OpRecord:
    return OpRecord("linear", source, f"{layer}.weight", f"{layer}.message", shape, *bits, bytes=nbytes)


def _aggregate(layer: str, shape: tuple[int, int, int], bits: tuple[int, int, int], nbytes: int) -> OpRecord:
    names = (f"{layer}.adjacency", f"{layer}.message", f"{layer}.aggregate")
    return OpRecord("aggregate", *names, shape, *bits, bytes=nbytes)
