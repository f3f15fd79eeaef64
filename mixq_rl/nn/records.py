"""Records of operations, which operators give to the meter."""

from torch import Tensor

from mixq_rl.metering import FLOAT_BITS, OpRecord
from mixq_rl.quantization import IntegerRange, PackedRows, QTensor
from mixq_rl.sparse import CSR, SparseMatrix

__all__ = ["EDGES", "Names", "float_aggregate", "float_linear", "integer_aggregate", "integer_linear"]

Names = tuple[str, str, str]
"""Names of an operation's components: left operand, right operand, result."""

EDGES = "edges"
"""Name for an adjacency without weights, which is not a component: nothing is multiplied by it."""

_INDEX_BYTES = 4


def float_linear(names: Names, x: Tensor | SparseMatrix, weight: Tensor) -> OpRecord:
    """Return the record of a product in floating point; sparse features count as the dense matrix.

    Args:
        names: names of x, the weight and the result.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
    """
    rows, inputs, outputs = x.shape[0], x.shape[1], weight.shape[1]
    size = (rows * inputs + inputs * outputs + rows * outputs) * x.element_size()
    return OpRecord("linear", *names, (rows, inputs, outputs), *(FLOAT_BITS,) * 3, bytes=size)


def integer_linear(names: Names, x: QTensor, weight: QTensor, result: IntegerRange) -> OpRecord:
    """Return the record of a product of integers, requantized.

    Args:
        names: names of x, the weight and the result.
        x: ``[rows, inputs]``.
        weight: ``[inputs, outputs]``.
        result: range of the result's integers.
    """
    (rows, inputs), outputs = x.shape, weight.shape[1]
    size = x.payload.nbytes + weight.payload.nbytes + rows * result.row_bytes(outputs)
    bits = (x.bits, weight.bits, result.bits)
    return OpRecord("linear", *names, (rows, inputs, outputs), *bits, bytes=size)


def float_aggregate(names: Names, csr: CSR, message: Tensor) -> OpRecord:
    """Return the record of a sum over neighbours in floating point.

    Args:
        names: names of the adjacency, the messages and the result.
        csr: the sparsity pattern.
        message: the gathered messages, ``[nodes, features]``.
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
    """Return the record of a sum of integers over neighbours, requantized.

    Args:
        names: names of the adjacency, the messages and the result.
        csr: the sparsity pattern.
        weight: weights of the edges, a byte each; None: all 1.
        weight_bits: bit-width of the adjacency; None: no weights.
        message: the gathered messages.
        result: range of the result's integers.
    """
    rows, edges, columns = csr.num_rows, csr.col.numel(), message.columns
    gathered, held = message.range.row_bytes(columns), 0 if weight is None else weight.element_size()
    size = _aggregate_bytes(rows, edges, gathered, held, result.row_bytes(columns))
    bits = (weight_bits, message.range.bits, result.bits)
    return OpRecord("aggregate", *names, (rows, edges, columns), *bits, bytes=size)


def _aggregate_bytes(rows: int, edges: int, gathered: int, weight: int, written: int) -> int:
    """Return the bytes: for each edge a weight, an index and a gathered row; for each row a pointer and a result."""
    return edges * (weight + _INDEX_BYTES + gathered) + rows * (_INDEX_BYTES + written)
