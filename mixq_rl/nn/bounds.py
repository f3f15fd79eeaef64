"""Proof, before execution, that no int32 sum can overflow."""

from mixq_rl.errors import SumOverflowError
from mixq_rl.quantization import IntegerRange, PackedRows
from mixq_rl.sparse import CSR

__all__ = ["check_aggregate", "check_linear"]

_LIMIT = 2**31 - 1


def _magnitude(offered: IntegerRange, zero_point: int) -> int:
    return max(abs(offered.minimum), abs(offered.maximum)) + abs(zero_point)


def check_linear(name: str, weight: PackedRows, offered: IntegerRange, zero_point: int) -> None:
    """Check the sums of ``x @ weight`` for every x within ``offered``.

    Args:
        name: of the layer, for the message.
        weight: ``[inputs, outputs]``; unpacked only where its size alone does not prove it.
        offered: range of x.
        zero_point: of x.

    Raises:
        SumOverflowError: naming layer and output column.
    """
    rows, columns = weight.shape
    largest = _magnitude(weight.range, 0)
    if not columns or rows * largest * _magnitude(offered, zero_point) <= _LIMIT:
        return
    bound = weight.unpack().long().abs().sum(dim=0) * _magnitude(offered, zero_point)
    worst = int(bound.argmax())
    if int(bound[worst]) > _LIMIT:
        raise SumOverflowError(
            f"layer {name!r}: the sum over {rows} inputs in column {worst} may reach {int(bound[worst])}, "
            f"beyond int32; offer it fewer bits (--bits)"
        )


def check_aggregate(
    name: str,
    csr: CSR,
    weights: IntegerRange,
    weight_zero_point: int,
    offered: IntegerRange,
    zero_point: int,
    *,
    heads: int = 1,
) -> None:
    """Check the sums over each row's neighbours, the theorem's four terms included.

    Args:
        name: of the layer, for the message.
        csr: where the neighbours are.
        weights: range of the adjacency's integers.
        weight_zero_point: of the adjacency.
        offered: range of the messages.
        zero_point: of the messages.
        heads: how many such sums are added up.

    Raises:
        SumOverflowError: naming layer and node.
    """
    worst, degree = csr.fullest_row
    bound = heads * degree * _magnitude(weights, weight_zero_point) * _magnitude(offered, zero_point)
    if bound > _LIMIT:
        raise SumOverflowError(
            f"layer {name!r}: the sum over the {degree} neighbours of node {worst} may reach {bound}, "
            f"beyond int32; offer it fewer bits (--bits)"
        )
