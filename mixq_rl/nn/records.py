"""What the operations of a network count for: the records that operators hand to the meter."""

from torch import Tensor

from mixq_rl.metering import FLOAT_BITS, OpRecord
from mixq_rl.quantization import IntegerRange, PackedRows, QTensor
from mixq_rl.sparse import CSR, SparseMatrix

__all__ = ["EDGES", "Names", "float_aggregate", "float_linear", "integer_aggregate", "integer_linear"]

Names = tuple[str, str, str]
"""Components of an operation: left operand, right operand, result."""

EDGES = "edges"
"""Stands where an adjacency without weights is no component: nothing is multiplied by it."""

_INDEX_BYTES = 4


def float_linear(names: Names, x: Tensor | SparseMatrix, weight: Tensor) -> OpRecord:
    """A product in floating point; sparse features count as the dense matrix that they stand for.

    Args:
        names: of x, the weight and the result.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
    """
    rows, inputs, outputs = x.shape[0], x.shape[1], weight.shape[1]
    size = (rows * inputs + inputs * outputs + rows * outputs) * x.element_size()
    return OpRecord("linear", *names, (rows, inputs, outputs), *(FLOAT_BITS,) * 3, bytes=size)


def integer_linear(names: Names, x: QTensor, weight: QTensor, result: IntegerRange) -> OpRecord:
    """A product of integers, requantized.

    Args:
        names: of x, the weight and the result.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
        result: the integers of the result.
    """
    (rows, inputs), outputs = x.shape, weight.shape[1]
    size = x.payload.nbytes + weight.payload.nbytes + rows * result.row_bytes(outputs)
    bits = (x.bits, weight.bits, result.bits)
    return OpRecord("linear", *names, (rows, inputs, outputs), *bits, bytes=size)


def float_aggregate(names: Names, csr: CSR, message: Tensor) -> OpRecord:
    """A sum over neighbours in floating point.

    Args:
        names: of the adjacency, the messages and the result.
        csr: where the edges are.
        message: what is gathered, ``[nodes, features]``.
    """
    entry, edges = message.element_size(), csr.col.numel()
    width = message.shape[1] * entry
    size = _aggregate_bytes(csr.num_rows, edges, width, entry, width)
    bits = (None if names[0] == EDGES else FLOAT_BITS, FLOAT_BITS, FLOAT_BITS)
    return OpRecord("aggregate", *names, (csr.num_rows, edges, message.shape[1]), *bits, bytes=size)


def integer_aggregate(
    names: Names,
    csr: CSR,
    weight: Tensor | None,
    weight_bits: int | None,
    message: PackedRows,
    result: IntegerRange,
) -> OpRecord:
    """A sum of integers over neighbours, requantized.

    Args:
        names: of the adjacency, the messages and the result.
        csr: where the edges are.
        weight: of the edges, a byte each; None: all 1.
        weight_bits: bit-width of the adjacency; None: it has no weights.
        message: what is gathered.
        result: the integers of the result.
    """
    rows, edges, columns = csr.num_rows, csr.col.numel(), message.columns
    gathered, held = message.range.row_bytes(columns), 0 if weight is None else weight.element_size()
    size = _aggregate_bytes(rows, edges, gathered, held, result.row_bytes(columns))
    bits = (weight_bits, message.range.bits, result.bits)
    return OpRecord("aggregate", *names, (rows, edges, columns), *bits, bytes=size)


def _aggregate_bytes(rows: int, edges: int, gathered: int, weight: int, written: int) -> int:
    """For each edge its weight, its index and the row it gathers; for each row its pointer and what is written."""
    return edges * (weight + _INDEX_BYTES + gathered) + rows * (_INDEX_BYTES + written)
