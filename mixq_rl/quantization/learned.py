"""The quantizer of one component of a network, with one learned scale for each bit-width."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from torch import Tensor, nn

from mixq_rl.errors import BitWidthError
from mixq_rl.quantization.alignment import Alignment
from mixq_rl.quantization.fake import FakeQuantized, fake_align, fake_requantize, fake_round
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.quantizer import Quantizer, fit_quantizer, nonzero, row_magnitude
from mixq_rl.quantization.requantization import Requantization
from mixq_rl.sparse import SparseMatrix

__all__ = ["ComponentKind", "LearnedQuantizer"]

ComponentKind = Literal["input", "weight", "message", "adjacency", "attention", "aggregate", "update", "output"]

_ROW_MANTISSA_BITS = 26


class LearnedQuantizer(nn.Module):
    """Quantizes one component at any of several bit-widths.

    Scales are kept positive by learning their logarithm (LSQ, Esser et al. 2020, with a logarithmic parametrisation);
    zero points are integers chosen from data and never learned. A scale that represents the calibration data without
    error is not learned either: one bit per node stays exact for row-normalised binary features.

    Args:
        name: of the component: ``"conv1.weight"``.
        kind: of the component: ``"weight"``.
        signed: whether its integers may be negative; None: as the calibration data say.
        affine: whether its zero point may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale. ``ROW``: the learned scale times each row's own magnitude.
    """

    def __init__(
        self,
        name: str,
        kind: ComponentKind,
        *,
        signed: bool | None,
        affine: bool = False,
        granularity: Granularity = Granularity.TENSOR,
    ) -> None:
        super().__init__()
        self.name = name
        self.kind = kind
        self.signed = signed
        self.affine = affine
        self.granularity = granularity
        self.bits: int | None = None
        self.observer: Callable[[Tensor], None] | None = None
        self.log_scales = nn.ParameterDict()
        self.zero_points: dict[int, int] = {}
        self.row_exponent: int | None = None

    def extra_repr(self) -> str:
        return f"{self.name}, bits={self.bits}, granularity={self.granularity.value}"

    def observe(self, x: Tensor) -> Tensor:
        """Show the component's real values to the observer, if there is one, and pass them on."""
        if self.observer is not None:
            self.observer(x)
        return x

    def is_signed(self, x: Tensor) -> bool:
        """Return whether a quantizer fitted to ``x`` has negative integers."""
        return bool(x.numel() and x.min() < 0) if self.signed is None else self.signed

    def fit(self, x: Tensor, bits: int) -> tuple[Quantizer, float]:
        """Return the quantizer of least squared error for ``x`` and its relative error; nothing is kept."""
        return fit_quantizer(x, bits, signed=self.is_signed(x), affine=self.affine, granularity=self.granularity)

    def calibrate(self, x: Tensor, bit_widths: Iterable[int]) -> None:
        """Set a scale and zero point for each bit-width from the component's real values."""
        self.signed = self.is_signed(x)
        if self.granularity is Granularity.ROW:
            greatest = float(row_magnitude(x).max()) if x.numel() else 0.0
            self.row_exponent = FixedPoint.exponent_for(greatest or 1.0, _ROW_MANTISSA_BITS)
        for bits in bit_widths:
            quantizer, error = self.fit(x, bits)
            learned = nn.Parameter(quantizer.scale.log().float().to(x.device), requires_grad=error > 0)
            self.log_scales[str(bits)] = learned
            self.zero_points[bits] = quantizer.zero_point

    def check_bits(self, bits: int | None) -> None:
        """Check that a bit-width was calibrated.

        Raises:
            BitWidthError: naming component and choice.
        """
        if bits not in self.zero_points:
            known = tuple(sorted(self.zero_points))
            raise BitWidthError(f"bit-width {bits} of component {self.name!r} is not among {known}: calibrate it first")

    @property
    def range(self) -> IntegerRange:
        """The integers at the bit-width in force.

        Raises:
            BitWidthError: if no bit-width is in force, or it was not calibrated.
        """
        self.check_bits(self.bits)
        assert self.bits is not None
        assert self.signed is not None
        return IntegerRange(self.bits, self.signed)

    @property
    def scale(self) -> Tensor:
        """The learned scale at the bit-width in force, float64, with gradient."""
        scale: Tensor = self.log_scales[str(self.range.bits)].double().exp()
        return scale

    @property
    def zero_point(self) -> int:
        return self.zero_points[self.range.bits]

    def quantizer(self) -> Quantizer:
        """Return the quantizer at the bit-width in force."""
        return Quantizer(self.range, self.scale.detach(), self.zero_point, self.row_exponent)

    def fake_quantize(self, x: Tensor | SparseMatrix) -> FakeQuantized:
        """Quantize real values, with gradients to them and to the scale."""
        if isinstance(x, SparseMatrix) and self.range.is_sign:
            x = x.to_dense()  # its zeros become +1
        row, entries = None, x.value if isinstance(x, SparseMatrix) else x
        if self.row_exponent is not None:
            magnitude = row_magnitude(x)
            row = FixedPoint.nearest(magnitude, self.row_exponent)
            divisor = magnitude[x.csr.row, 0] if isinstance(x, SparseMatrix) else magnitude
            entries = entries / nonzero(divisor).to(x.dtype)
        rounded = fake_round(entries / self.scale.to(x.dtype), self.range, self.zero_point)
        values = x.with_value(rounded) if isinstance(x, SparseMatrix) else rounded
        return FakeQuantized(values, self.scale, self.range, self.zero_point, row, self.name)

    def requantization(self, scale: Tensor, bias: Tensor | None, row_exponent: int | None) -> Requantization:
        """Return the fixed-point map from sums of real scale ``scale`` to this component's integers.

        Args:
            scale: float64 ``[]`` or ``[columns]``: one unit of the sums.
            bias: ``[columns]``, real, or None.
            row_exponent: exponent of the fixed-point row scales that multiply the sums, or None.
        """
        own = self.scale.detach()
        steps = None if bias is None else bias.detach().double() / own
        return Requantization.from_scales(scale.detach() / own, steps, row_exponent, self.range, self.zero_point)

    def fake_requantize(
        self, sums: Tensor, scale: Tensor, bias: Tensor | None = None, row: FixedPoint | None = None
    ) -> FakeQuantized:
        """Map float-held integer sums of real scale ``scale`` (times ``row``) to this component's integers."""
        requantization = self.requantization(scale, bias, None if row is None else row.exponent)
        steps = None if bias is None else bias.double() / self.scale
        values = fake_requantize(sums, scale / self.scale, steps, row, requantization)
        return FakeQuantized(values, self.scale, self.range, self.zero_point, name=self.name)

    def alignment(self, scales: Sequence[Tensor], bias: Tensor | None) -> Alignment:
        """Return the fixed-point map from centred integers of real scales ``scales`` to this component's integers.

        Args:
            scales: float64 ``[]`` or ``[columns]``, one for each source.
            bias: ``[columns]``, real, or None.
        """
        own = self.scale.detach()
        steps = None if bias is None else bias.detach().double() / own
        return Alignment.from_scales([scale.detach() / own for scale in scales], steps, self.range, self.zero_point)

    def fake_align(
        self, values: Sequence[Tensor], scales: Sequence[Tensor], bias: Tensor | None = None
    ) -> FakeQuantized:
        """Add up float-held centred integers of real scales ``scales`` to this component's integers."""
        steps = None if bias is None else bias.double() / self.scale
        aligned = fake_align(values, [scale / self.scale for scale in scales], steps, self.alignment(scales, bias))
        return FakeQuantized(aligned, self.scale, self.range, self.zero_point, name=self.name)
