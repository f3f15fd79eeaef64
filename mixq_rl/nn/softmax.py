"""The softmax over each node's neighbours, in floating point and on integers."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.quantization import IntegerRange, Quantizer
from mixq_rl.quantization.integer_range import within
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["IntegerSoftmax", "neighbour_softmax"]

_EXPONENTIAL_BITS = 15
_DIVISION_BITS = 20
_LARGEST_RECIPROCAL = 2**40


def neighbour_softmax(logit: Tensor, csr: CSR) -> Tensor:
    """Return the softmax over the entries of each row.

    Args:
        logit: floating point, ``[entries, heads]``.
        csr: sparsity pattern, which says which entries are in a row.
    """
    numerator = (logit - _row_maximum(logit.detach(), csr)).exp()
    sums = numerator.new_zeros(csr.num_rows, numerator.shape[1]).index_add(0, csr.row, numerator)
    return numerator / sums.index_select(0, csr.row)


def _row_maximum(x: Tensor, csr: CSR) -> Tensor:
    """Return the greatest entry of each entry's row, of the shape of ``x``."""
    index = csr.row.unsqueeze(1).expand_as(x)
    greatest = x.new_zeros(csr.num_rows, x.shape[1]).scatter_reduce(0, index, x, "amax", include_self=False)
    return greatest.index_select(0, csr.row)


@storable
@dataclass(frozen=True)
class IntegerSoftmax:
    r"""Softmax of integers: :math:`\mathrm{round}(e_{ij} R / (2^{20} \sum_k e_{ik}))`, half to even.

    :math:`e_{ij} = 2^{15} \exp(-s_l k)` is the table's entry for the distance k between the logit and the greatest
    logit of its row. R is :math:`2^{20}` divided by the coefficients' scale. Sums of up to :math:`2^{23}` neighbours
    stay within 64 bits.

    Attributes:
        exponential: the table, int64, with one entry for each distance between two logits, from 0 up: :math:`2^b`.
        reciprocal: R.
        logit_range: range of the logits' integers.
        range: range of the coefficients' integers, unsigned.

    Raises:
        TypeError: for a table of another dtype.
        ValueError: for entries out of bounds.
    """

    exponential: Tensor
    reciprocal: int
    logit_range: IntegerRange
    range: IntegerRange

    def __post_init__(self) -> None:
        if self.exponential.dtype != torch.int64:
            raise TypeError("the table of a softmax is int64")
        entries = 2**self.logit_range.bits
        if self.exponential.shape != (entries,) or not within(self.exponential, 0, 2**_EXPONENTIAL_BITS):
            raise ValueError(f"the table of a softmax has {entries} entries of at most {_EXPONENTIAL_BITS} bits")
        if int(self.exponential[0]) != 2**_EXPONENTIAL_BITS:
            raise ValueError("the table of a softmax begins with 1")
        if not 0 < self.reciprocal <= _LARGEST_RECIPROCAL or self.range.signed:
            raise ValueError("the coefficients of a softmax are unsigned and have a positive scale")

    @classmethod
    def from_quantizers(cls, logit: Quantizer, attention: Quantizer) -> Self:
        """Return the softmax for logits and coefficients of these quantizers."""
        distance = torch.arange(2**logit.range.bits, dtype=torch.float64, device=logit.scale.device)
        exponential = (-logit.scale * logit.range.step * distance).exp() * 2.0**_EXPONENTIAL_BITS
        reciprocal = round(2.0**_DIVISION_BITS / float(attention.scale))
        return cls(
            exponential.round().to(torch.int64),
            max(1, min(reciprocal, _LARGEST_RECIPROCAL)),
            logit.range,
            attention.range,
        )

    @property
    def greatest_sum(self) -> int:
        """Bound of the sum of a row's coefficients, for any number of neighbours.

        Rounding at most doubles a coefficient that does not become 0, and unrounded ones add up to
        :math:`R / 2^{20}`.
        """
        return (2 * self.reciprocal >> _DIVISION_BITS) + 1

    def __call__(self, logit: Tensor, csr: CSR) -> Tensor:
        """Return the coefficients' integers, uint8.

        Args:
            logit: int8, ``[entries, heads]``.
            csr: sparsity pattern, which says which entries are in a row.
        """
        codes = logit.to(torch.int64)
        distance = _row_maximum(codes, csr) - codes
        distance = distance if self.logit_range.step == 1 else distance // self.logit_range.step
        numerator = self.exponential[distance]
        sums = numerator.new_zeros(csr.num_rows, numerator.shape[1]).index_add(0, csr.row, numerator)
        divisor = sums.index_select(0, csr.row) << _DIVISION_BITS
        dividend = numerator * self.reciprocal
        quotient = torch.div(dividend, divisor, rounding_mode="floor")
        twice_rest = 2 * (dividend - quotient * divisor)
        up = (twice_rest > divisor) | ((twice_rest == divisor) & (quotient % 2 == 1))
        return (quotient + up.to(torch.int64)).clamp(0, self.range.maximum).to(self.range.dtype)
