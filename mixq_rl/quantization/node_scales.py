"""Several learned scales for one component, of which every node takes the nearest."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from mixq_rl.quantization.bank import WIDE_LIMIT, BankAlignment, BankRequantization, ScaleBank
from mixq_rl.quantization.fake import (
    FakeQuantized,
    LearnedFixedPoint,
    fake_round,
    straight_clamp,
    straight_round_within,
    substitute,
)
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.observers import Observer, fit
from mixq_rl.quantization.quantizer import row_magnitude
from mixq_rl.quantization.scales import Scales

__all__ = ["NodeScales"]

# Factor by which wide integers reach beyond the rows of the greatest scale, for rows that calibration did not see.
_HEADROOM = 4
# Largest ratio of two scales: scales further apart have no common fixed-point format of enough bits.
_SPREAD = 2**14


class NodeScales(Scales):
    """Several learned scales for each bit-width; every node takes the scale nearest to its ideal one.

    This is the nearest-neighbour strategy of A²Q (Zhu et al., ICLR 2023), which A²Q uses for unseen graphs; here
    training uses it too. The ideal scale of a node is a ``share`` of its greatest absolute value. The share is fitted
    for each bit-width. The logarithms of the scales are learned, each from the nodes that take it. There are no zero
    points.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scales = nn.ParameterDict()
        self.shares: dict[int, float] = {}

    @classmethod
    def fitted(cls, x: Tensor, ranges: Sequence[IntegerRange], observer: Observer, count: int) -> Self:
        """Return ``count`` scales for each of ``ranges``, at quantiles of the magnitudes of the rows of ``x``."""
        scales = cls()
        for offered in ranges:
            quantizer, _ = fit(observer, x, offered, affine=False, granularity=Granularity.ROW)
            initial = _quantiles(x, count) * quantizer.scale
            scales.log_scales[str(offered.bits)] = nn.Parameter(initial.log().float())
            scales.shares[offered.bits] = float(quantizer.scale)
        scales.bit_widths = tuple(scales.shares)
        return scales

    def _sorted(self, offered: IntegerRange) -> Tensor:
        """Return the scales in ascending order, float64 ``[scales]``, with gradient."""
        scales: Tensor = self.log_scales[str(offered.bits)].double().sort().values.exp()
        return straight_clamp(scales, float(scales[-1].detach()) / _SPREAD)

    def _bank(self, scales: Tensor, offered: IntegerRange) -> ScaleBank:
        return ScaleBank.from_scales(scales.detach(), self.shares[offered.bits], self.unit(offered), offered)

    def bank(self, offered: IntegerRange) -> ScaleBank:
        """Return the scales in fixed point."""
        return self._bank(self._sorted(offered), offered)

    def scale(self, offered: IntegerRange) -> Tensor:
        """Return 1: the rows' own scales are the only ones."""
        return torch.ones((), dtype=torch.float64, device=self.log_scales[str(offered.bits)].device)

    def zero_point(self, offered: IntegerRange) -> int:
        return 0

    def unit(self, offered: IntegerRange) -> Tensor:
        greatest = self.log_scales[str(offered.bits)].detach().double().max().exp()
        return greatest / self.shares[offered.bits] * (_HEADROOM / WIDE_LIMIT)

    def row_exponent(self, offered: IntegerRange) -> int | None:
        return self.bank(offered).scales.exponent

    def requantization(
        self, scale: Tensor, bias: Tensor | None, row_exponent: int | None, offered: IntegerRange
    ) -> BankRequantization:
        return BankRequantization(*BankRequantization.fixed(scale, bias, row_exponent), self.bank(offered))

    def alignment(self, scales: Sequence[Tensor], bias: Tensor | None, offered: IntegerRange) -> BankAlignment:
        return BankAlignment(*BankAlignment.fixed(scales, bias), self.bank(offered))

    def fake_quantized(
        self, steps: Tensor, offered: IntegerRange, name: str, protected: Tensor | None = None
    ) -> FakeQuantized:
        scales = self._sorted(offered)
        bank = self._bank(scales, offered)
        wide = straight_round_within(steps, *bank.limits)
        index = bank.choose(wide.detach()).unsqueeze(1)
        ratios = substitute(self.unit(offered) / scales, bank.reciprocals.double() * 2.0**-bank.shift)
        ratio = ratios[index].to(steps.dtype)
        values = fake_round(wide * ratio, offered, 0)
        if protected is not None:
            values = torch.where(protected, (steps if offered.signed else straight_clamp(steps, 0)) * ratio, values)
        row = LearnedFixedPoint(bank.scales.mantissa[index], bank.scales.exponent, scales[index])
        return FakeQuantized(values, self.scale(offered), offered, 0, row, name, protected)

    # Shares belong to their scales: they are saved and restored together.
    def get_extra_state(self) -> Tensor:
        """Return bit-widths and shares, float64 ``[bit-widths, 2]``."""
        return torch.tensor(list(self.shares.items()), dtype=torch.float64).view(-1, 2)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what :meth:`get_extra_state` returned."""
        self.shares = {int(bits): float(share) for bits, share in state}


def _quantiles(x: Tensor, count: int) -> Tensor:
    """Return evenly spaced quantiles of the rows' magnitudes, float64 ``[count]``, positive."""
    if not x.any():
        return torch.ones(count, dtype=torch.float64, device=x.device)
    magnitude = row_magnitude(x)[:, 0].sort().values
    greatest = float(magnitude[-1])
    ranks = torch.linspace(0, len(magnitude) - 1, count).round().long().to(x.device)
    return magnitude[ranks].clamp(min=greatest / _SPREAD)
