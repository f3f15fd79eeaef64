"""Overflow checks: proofs, before execution, that no sum of integers can overflow."""

from collections.abc import Callable

import torch

from mixq_rl.conditions import require
from mixq_rl.errors import SumOverflowError
from mixq_rl.quantization import IntegerRange, PackedRows
from mixq_rl.sparse import CSR

__all__ = ["check_aggregate", "check_linear", "check_softmax"]

_LIMIT = 2**31 - 1
_SOFTMAX_NEIGHBOURS = 2**23


def _magnitude(offered: IntegerRange, zero_point: int) -> int:
    return max(abs(offered.minimum), abs(offered.maximum)) + abs(zero_point)


def check_linear(name: str, weight: PackedRows, offered: IntegerRange, zero_point: int) -> None:
    """Check the sums of ``x @ weight`` for every x within ``offered``.

    Args:
        name: name of the step's result, for the message.
        weight: ``[inputs, outputs]``; unpacked only if its size alone is no proof.
        offered: range of x.
        zero_point: zero point of x.

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
        name: name of the step's result, for the message.
        csr: the sparsity pattern.
        weights: range of the adjacency's integers.
        weight_zero_point: zero point of the adjacency.
        offered: range of the messages.
        zero_point: zero point of the messages.
        heads: number of such sums that are added together.

    Raises:
        SumOverflowError: naming layer and node.
    """
    largest = heads * _magnitude(weights, weight_zero_point) * _magnitude(offered, zero_point)
    _check_neighbours(name, csr, _LIMIT // largest, lambda degree: f"may reach {degree * largest}, beyond int32")


def check_softmax(name: str, csr: CSR) -> None:
    """Check that each row has no more neighbours than :class:`~mixq_rl.nn.softmax.IntegerSoftmax` takes.

    Args:
        name: name of the step's result, for the message.
        csr: the sparsity pattern.

    Raises:
        SumOverflowError: naming layer and node.
    """
    _check_neighbours(name, csr, _SOFTMAX_NEIGHBOURS, lambda _: "may pass the 64 bits of its softmax")


def _check_neighbours(name: str, csr: CSR, most: int, consequence: Callable[[int], str]) -> None:
    remedy = "sample them, or offer the layer fewer bits (--bits)"

    def error() -> SumOverflowError:
        worst, degree = csr.fullest_row
        return SumOverflowError(
            f"layer {name!r}: the sum over the {degree} neighbours of node {worst} {consequence(degree)}; {remedy}"
        )

    # The greatest degree is computed once for a graph. A program that torch traces must compute it in every call.
    traced = torch.compiler.is_compiling()
    within = (csr.rowptr.diff() <= most).all() if traced else csr.fullest_row[1] <= most
    reason = f"layer {name!r}: a node has more than {most} neighbours, whose sum {consequence(most + 1)}; {remedy}"
    require(within, reason, error)
