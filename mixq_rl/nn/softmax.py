"""The softmax over each node's neighbours, in floating point and on integers."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.quantization import IntegerRange, Quantizer
from mixq_rl.quantization.integer_range import within
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["MEAN_BITS", "IntegerSoftmax", "numerators", "row_sums", "weighted_mean"]

MEAN_BITS = 14
"""Number of bits behind the binary point of a weighted mean of integers."""


def numerators(logit: Tensor, csr: CSR) -> Tensor:
    """Return the numerators of the softmax over the entries of each row, relative to the greatest: within 0...1.

    Args:
        logit: floating point, ``[entries, heads]``.
        csr: sparsity pattern, which says which entries are in a row.
    """
    return (logit - _row_maximum(logit.detach(), csr)).exp()


def row_sums(numerator: Tensor, csr: CSR) -> Tensor:
    """Return the sums over the entries of each row, the denominators of the softmax, ``[rows, heads]``."""
    return numerator.new_zeros(csr.num_rows, numerator.shape[1]).index_add(0, csr.row, numerator)


def _row_maximum(x: Tensor, csr: CSR) -> Tensor:
    """Return the greatest entry of each entry's row, of the shape of ``x``."""
    index = csr.row.unsqueeze(1).expand_as(x)
    greatest = x.new_zeros(csr.num_rows, x.shape[1]).scatter_reduce(0, index, x, "amax", include_self=False)
    return greatest.index_select(0, csr.row)


@storable
@dataclass(frozen=True)
class IntegerSoftmax:
    r"""Softmax of integers without its division.

    The numerators are :math:`q_{ij} = \mathrm{clamp}(\mathrm{round}(\exp(-s_l k) / s))`, where k is the difference
    between the greatest logit of the row and the logit; for k = 0 they are at least 1. The greatest numerator of a row
    is thus the same for a node with many neighbours as for one with few, where coefficients of hubs would be rounded
    to 0. The denominators are the sums of these integers, so that the coefficients :math:`q_{ij} / \sum_k q_{ik}` add
    up to 1.

    Attributes:
        table: the numerators, uint8, with one entry for each distance between two logits, from 0 up: :math:`2^b`.
        logit_range: range of the logits' integers.
        range: range of the numerators' integers, unsigned.

    Raises:
        TypeError: for a table of another dtype.
        ValueError: for entries out of bounds.
    """

    table: Tensor
    logit_range: IntegerRange
    range: IntegerRange

    def __post_init__(self) -> None:
        if self.range.signed:
            raise ValueError("the numerators of a softmax are unsigned")
        if self.table.dtype != self.range.dtype:
            raise TypeError(f"the table of a softmax is {self.range.dtype}")
        entries = 2**self.logit_range.bits
        if self.table.shape != (entries,) or not within(self.table, 0, self.range.maximum):
            raise ValueError(f"the table of a softmax has {entries} entries of at most {self.range.maximum}")
        if int(self.table[0]) < 1:
            raise ValueError("the table of a softmax begins with at least 1: denominators must be positive")

    @classmethod
    def from_quantizers(cls, logit: Quantizer, attention: Quantizer) -> Self:
        """Return the softmax for logits and numerators of these quantizers."""
        distance = torch.arange(2**logit.range.bits, dtype=torch.float64, device=logit.scale.device)
        table = attention.integers((-logit.scale * logit.range.step * distance).exp())
        table[0] = table[0].clamp(min=1)
        return cls(table, logit.range, attention.range)

    def __call__(self, logit: Tensor, csr: CSR) -> Tensor:
        """Return the numerators' integers, uint8.

        Args:
            logit: int8, ``[entries, heads]``.
            csr: sparsity pattern, which says which entries are in a row.
        """
        codes = logit.to(torch.int64)
        distance = _row_maximum(codes, csr) - codes
        return self.table[distance if self.logit_range.step == 1 else distance // self.logit_range.step]


def weighted_mean(sums: Tensor, totals: Tensor) -> Tensor:
    """Return sums divided by the sums of their weights, rounded half to even, with ``MEAN_BITS`` fractional bits.

    Args:
        sums: int32 ``[rows, columns]``, sums of integers times weights.
        totals: int64 ``[rows, 1]``, sums of the weights, positive.

    Returns:
        int32 ``[rows, columns]``.
    """
    dividend = sums.to(torch.int64) << MEAN_BITS
    quotient = torch.div(dividend, totals, rounding_mode="floor")
    twice_rest = 2 * (dividend - quotient * totals)
    up = (twice_rest > totals) | ((twice_rest == totals) & (quotient % 2 == 1))
    return (quotient + up.to(torch.int64)).to(torch.int32)
