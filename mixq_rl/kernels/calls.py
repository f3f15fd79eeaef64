"""Calls of kernels as values, from which a pipeline is made."""

from dataclasses import dataclass

from torch import Tensor

from mixq_rl.quantization import Alignment, FixedPoint, PackedRows, Requantization

__all__ = ["AggregateCall", "Call", "JoinCall", "LinearCall"]


@dataclass(frozen=True)
class LinearCall:
    """A product with a weight, requantized; see :func:`mixq_rl.kernels.linear_requantize`.

    Attributes:
        source: the value that is multiplied: 0 is the pipeline's input, k the result of call k.
        weight: ``[inputs, outputs]``.
        requantization: map from the sums to the result's integers.
        x_zero_point: zero point of the source.
        row_scaled: whether the rows of the source have scales, which only those of the input can have.
    """

    source: int
    weight: PackedRows
    requantization: Requantization
    x_zero_point: int
    row_scaled: bool


@dataclass(frozen=True)
class AggregateCall:
    """Sums over neighbours, requantized; see :func:`mixq_rl.kernels.aggregate_requantize`.

    Attributes:
        source: the value whose rows are summed: 0 is the pipeline's input, k the result of call k.
        rowptr, col, weight, weight_zero_point: the graph.
        requantization: map from the sums to the result's integers.
        x_zero_point: zero point of the source.
        row: fixed-point scales of the rows, ``[rows, 1]``, or None.
    """

    source: int
    rowptr: Tensor
    col: Tensor
    weight: Tensor | None
    weight_zero_point: int
    requantization: Requantization
    x_zero_point: int
    row: FixedPoint | None


@dataclass(frozen=True)
class JoinCall:
    """Values brought to one scale and added up, concatenated, or compared for the greatest.

    Attributes:
        sources: the values: 0 is the pipeline's input, k the result of call k.
        zero_points: zero points of the sources.
        alignments: one map from all sources to the result's integers, which adds them up; or one for each source.
        concatenates: whether the parts, one for each alignment, are concatenated; otherwise each entry of the result is
            the greatest of theirs.
    """

    sources: tuple[int, ...]
    zero_points: tuple[int, ...]
    alignments: tuple[Alignment, ...]
    concatenates: bool


Call = LinearCall | AggregateCall | JoinCall
