"""Scales and zero points of a component: learned, or following the values of training."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from mixq_rl.quantization.alignment import Alignment
from mixq_rl.quantization.bank import AnyAlignment, AnyRequantization
from mixq_rl.quantization.fake import FakeQuantized, fake_round
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.observers import Observer, RangeObserver, fit
from mixq_rl.quantization.real_range import RealRange
from mixq_rl.quantization.requantization import Requantization

__all__ = ["FollowedScales", "LearnedScales", "Scales"]

_LEAST_SHARE = 2.0**-20


class Scales(nn.Module):
    """Scales and zero points of one component, for each of several bit-widths.

    Attributes:
        bit_widths: the bit-widths that have scales.
    """

    bit_widths: tuple[int, ...] = ()

    def scale(self, offered: IntegerRange) -> Tensor:
        """Return the scale at a bit-width, float64 ``[]`` or ``[columns]``, with gradient if it is learned."""
        raise NotImplementedError

    def zero_point(self, offered: IntegerRange) -> int:
        """Return the zero point at a bit-width."""
        raise NotImplementedError

    def unit(self, offered: IntegerRange) -> Tensor:
        """Return the unit of the results of :meth:`requantization` and :meth:`alignment`, a real number in float64."""
        return self.scale(offered)

    def row_exponent(self, offered: IntegerRange) -> int | None:
        """Return the exponent of the rows' fixed-point scales, or None if rows have no scales."""
        return None

    def follow(self, real: Callable[[], Tensor], offered: IntegerRange, protected: Tensor | None = None) -> None:
        """Update the scales by the component's real values in training, if the scales follow them.

        Args:
            real: returns the values; before ReLU, if unsigned integers represent ReLU.
            offered: range of integers in force.
            protected: bool ``[rows, 1]``: rows that do not count, or None.
        """

    def requantization(
        self, scale: Tensor, bias: Tensor | None, row_exponent: int | None, offered: IntegerRange
    ) -> AnyRequantization:
        """Return the fixed-point map from sums; for the arguments see :meth:`Requantization.from_scales`."""
        return Requantization.from_scales(scale, bias, row_exponent, offered, self.zero_point(offered))

    def alignment(self, scales: Sequence[Tensor], bias: Tensor | None, offered: IntegerRange) -> AnyAlignment:
        """Return the fixed-point map from centred integers; for the arguments see :meth:`Alignment.from_scales`."""
        return Alignment.from_scales(scales, bias, offered, self.zero_point(offered))

    def fake_quantized(
        self, steps: Tensor, offered: IntegerRange, name: str, protected: Tensor | None = None
    ) -> FakeQuantized:
        """Return real values rounded to integers, with gradients.

        Args:
            steps: real values, divided by :meth:`unit`, ``[rows, columns]``.
            offered: range of the integers.
            name: name of the component.
            protected: bool ``[rows, 1]``: rows that are not rounded, or None.
        """
        zero_point = self.zero_point(offered)
        values = fake_round(steps, offered, zero_point, protected)
        return FakeQuantized(values, self.scale(offered), offered, zero_point, name=name, protected=protected)


class LearnedScales(Scales):
    """Learned scales: one for each bit-width, or one for each bit-width and column.

    The logarithms of the scales are learned, so that the scales stay positive (LSQ, Esser et al., ICLR 2020, with a
    logarithmic parametrisation). Zero points are integers chosen from data; they are not learned. A scale that
    represents the calibration data without error is not learned either. So one bit per node stays exact for
    row-normalised binary features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scales = nn.ParameterDict()
        self.zero_points: dict[int, int] = {}

    @classmethod
    def fitted(
        cls, x: Tensor, ranges: Sequence[IntegerRange], observer: Observer, *, affine: bool, granularity: Granularity
    ) -> Self:
        """Return scales for ``x``, one for each of ``ranges``, by :func:`~mixq_rl.quantization.observers.fit`."""
        scales = cls()
        for offered in ranges:
            quantizer, error = fit(observer, x, offered, affine=affine, granularity=granularity)
            # Weight decay can make a column almost 0. float32 could not hold the gradients of its scale.
            scale = quantizer.scale.clamp(min=float(quantizer.scale.max()) * _LEAST_SHARE)
            learned = nn.Parameter(scale.log().float().to(x.device), requires_grad=error > 0)
            scales.log_scales[str(offered.bits)] = learned
            scales.zero_points[offered.bits] = quantizer.zero_point
        scales.bit_widths = tuple(scales.zero_points)
        return scales

    def scale(self, offered: IntegerRange) -> Tensor:
        scale: Tensor = self.log_scales[str(offered.bits)].double().exp()
        return scale

    def zero_point(self, offered: IntegerRange) -> int:
        return self.zero_points[offered.bits]

    # Zero points belong to their scales: they are saved and restored together.
    def get_extra_state(self) -> Tensor:
        """Return bit-widths and zero points, int64 ``[bit-widths, 2]``."""
        return torch.tensor(list(self.zero_points.items()), dtype=torch.int64).view(-1, 2)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what :meth:`get_extra_state` returned."""
        self.zero_points = {int(bits): int(zero_point) for bits, zero_point in state}


class FollowedScales(Scales):
    """Scales that cover a range, which follows the component's values in training and is constant otherwise.

    Each bit-width has a range of its own. The training of a supernet draws low bit-widths together, and their large
    rounding errors must not widen the range of high bit-widths. Weights do not depend on the bit-widths of other
    components: their range is that of the newest batch, at all bit-widths.

    Args:
        observer: measures and updates the range.
        known: the range of the calibration data.
        bit_widths: bit-widths that the range is quantized at.
        affine: whether zero points may differ from 0.
        running: whether the range takes earlier batches into account, not only the newest.

    Attributes:
        low: lower ends of the ranges, ``[bit-widths]`` or ``[bit-widths, columns]``.
        high: upper ends.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, observer: RangeObserver, known: RealRange, bit_widths: Sequence[int], *, affine: bool, running: bool
    ) -> None:
        super().__init__()
        self.observer = observer
        self.bit_widths = tuple(bit_widths)
        self.affine = affine
        self.running = running
        self.register_buffer("low", torch.stack([known.low] * len(self.bit_widths)))
        self.register_buffer("high", torch.stack([known.high] * len(self.bit_widths)))

    @torch.no_grad()
    def follow(self, real: Callable[[], Tensor], offered: IntegerRange, protected: Tensor | None = None) -> None:
        if not self.training:
            return
        values = real().to(self.low.dtype)
        values = values if protected is None else values[~protected[:, 0]]
        if not values.numel():
            return
        values = values if offered.signed else values.clamp(min=0)
        seen, known = self.observer.observe(values, by_column=self.low.dim() > 1), self.known(offered)
        followed = self.observer.follow(known, seen) if self.running else seen
        # If training diverges, the loss reports it.
        finite = followed.low.isfinite() & followed.high.isfinite()
        index = self._index(offered) if self.running else slice(None)
        self.low[index] = torch.where(finite, followed.low, known.low)
        self.high[index] = torch.where(finite, followed.high, known.high)

    def known(self, offered: IntegerRange) -> RealRange:
        """Return the range at a bit-width."""
        index = self._index(offered)
        return RealRange(self.low[index], self.high[index])

    def _index(self, offered: IntegerRange) -> int:
        return self.bit_widths.index(offered.bits)

    def scale(self, offered: IntegerRange) -> Tensor:
        return self.known(offered).quantizer(offered, self.affine).scale

    def zero_point(self, offered: IntegerRange) -> int:
        return self.known(offered).quantizer(offered, self.affine).zero_point
