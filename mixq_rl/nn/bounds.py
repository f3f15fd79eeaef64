"""Overflow checks: proofs, before execution, that no sum of integers can overflow."""

from collections.abc import Callable

import torch
from torch import Tensor

from mixq_rl.conditions import require
from mixq_rl.errors import SumOverflowError
from mixq_rl.nn.softmax import MEAN_BITS
from mixq_rl.quantization import IntegerRange, PackedRows
from mixq_rl.sparse import CSR

__all__ = ["any_zero_point", "check_aggregate", "check_heads", "check_linear"]

_LIMIT = 2**31 - 1
_REMEDY = "sample them, or offer the layer fewer bits (--bits)"


def _magnitude(offered: IntegerRange, zero_point: int) -> int:
    return max(abs(offered.minimum), abs(offered.maximum)) + abs(zero_point)


def any_zero_point(offered: IntegerRange, zero_point: int) -> int:
    """Return the farthest zero point that training may give to integers: unsigned ones keep theirs."""
    return max(abs(offered.minimum), abs(offered.maximum)) if offered.signed else zero_point


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
    totals: Callable[[], Tensor] | None = None,
) -> None:
    """Check the sums over each row's neighbours, the theorem's four terms included.

    The bound is the number of neighbours times the greatest magnitudes. A row beyond it is measured by ``totals``.

    Args:
        name: name of the step's result, for the message.
        csr: the sparsity pattern.
        weights: range of the adjacency's integers.
        weight_zero_point: zero point of the adjacency.
        offered: range of the messages.
        zero_point: zero point of the messages.
        totals: returns the sum of the magnitudes of each row's integers, int64 ``[rows]``, or more; None: not known.

    Raises:
        SumOverflowError: naming layer and node.
    """
    message = _magnitude(offered, zero_point)
    largest = message * _magnitude(weights, weight_zero_point)
    most = _LIMIT // largest
    if totals is None or not (torch.compiler.is_compiling() or csr.fullest_row[1] > most):
        _check_neighbours(name, csr, most, lambda degree: f"may reach {degree * largest}, beyond int32")
        return
    sums = totals() + abs(weight_zero_point) * csr.rowptr.diff().long()

    def error() -> SumOverflowError:
        worst = int(sums.argmax())
        degree = int(csr.rowptr[worst + 1] - csr.rowptr[worst])
        return _refusal(name, csr.first_row + worst, degree, f"may reach {int(sums[worst]) * message}, beyond int32")

    reason = f"layer {name!r}: the sum over the neighbours of a node may pass int32; {_REMEDY}"
    require((sums <= _LIMIT // message).all(), reason, error)


def check_heads(name: str, heads: int, offered: IntegerRange, zero_point: int) -> None:
    """Check the sums of the heads' weighted means, which have ``MEAN_BITS`` bits behind the binary point.

    Args:
        name: name of the step's result, for the message.
        heads: number of heads that are averaged.
        offered: range of the messages.
        zero_point: zero point of the messages.

    Raises:
        SumOverflowError: naming the layer.
    """
    bound = heads * _magnitude(offered, zero_point) << MEAN_BITS
    if bound > _LIMIT:
        raise SumOverflowError(
            f"layer {name!r}: the sum over {heads} heads may reach {bound}, beyond int32; average fewer heads"
        )


def _check_neighbours(name: str, csr: CSR, most: int, consequence: Callable[[int], str]) -> None:
    def error() -> SumOverflowError:
        worst, degree = csr.fullest_row
        return _refusal(name, csr.first_row + worst, degree, consequence(degree))

    # The greatest degree is computed once for a graph. A program that torch traces must compute it in every call.
    traced = torch.compiler.is_compiling()
    within = (csr.rowptr.diff() <= most).all() if traced else csr.fullest_row[1] <= most
    reason = f"layer {name!r}: a node has more than {most} neighbours, whose sum {consequence(most + 1)}; {_REMEDY}"
    require(within, reason, error)


def _refusal(name: str, node: int, degree: int, consequence: str) -> SumOverflowError:
    return SumOverflowError(
        f"layer {name!r}: the sum over the {degree} neighbours of node {node} {consequence}; {_REMEDY}"
    )
