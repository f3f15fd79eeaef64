"""Quantizer of one component of a network, at any of several bit-widths."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from mixq_rl.errors import BitWidthError
from mixq_rl.quantization.bank import AnyAlignment, AnyRequantization
from mixq_rl.quantization.calibration import fitted_scales
from mixq_rl.quantization.fake import FakeQuantized, fake_map, fake_round, fake_sum
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.quantizer import Quantizer, fit_quantizer, nonzero, row_magnitude
from mixq_rl.quantization.scales import Scales
from mixq_rl.quantization.scheme import Scheme, schemes
from mixq_rl.sparse import SparseMatrix

__all__ = ["ComponentKind", "LearnedQuantizer"]

ComponentKind = Literal["input", "weight", "message", "adjacency", "attention", "aggregate", "update", "output"]

_ROW_MANTISSA_BITS = 26


class LearnedQuantizer(nn.Module):
    """Quantizer of one component at any of several bit-widths, with the scales of a :class:`Scheme`.

    In the float network the module is called with the component's real values and returns them unchanged. A forward
    hook of PyTorch (``register_forward_hook``) can read the values there; a hook that returns values replaces them.

    Args:
        name: name of the component, such as ``"conv1.weight"``.
        kind: kind of the component, such as ``"weight"``.
        signed: whether its integers may be negative; None: whether the calibration data are.
        affine: whether its zero point may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale; with ``ROW`` there is one scale, times the magnitude of each row.

    Attributes:
        bits: the bit-width in force, or None.
        scales: the scales of each bit-width; empty before calibration.
        row_exponent: exponent of the rows' fixed-point magnitudes with granularity ``ROW``; otherwise None.
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
        self._declared_signed = signed
        self.affine = affine
        self.granularity = granularity
        self.bits: int | None = None
        self.scales = Scales()
        self.row_exponent: int | None = None

    def extra_repr(self) -> str:
        return f"{self.name}, bits={self.bits}, granularity={self.granularity.value}"

    def forward(self, x: Tensor | SparseMatrix) -> Tensor | SparseMatrix:
        """Return the component's real values unchanged, for forward hooks to read or to replace."""
        return x

    def is_signed(self, x: Tensor) -> bool:
        """Return whether a quantizer fitted to ``x`` has negative integers."""
        return bool(x.numel() and x.min() < 0) if self._declared_signed is None else self._declared_signed

    def fit(self, x: Tensor, bits: int) -> tuple[Quantizer, float]:
        """Return the quantizer of least squared error for ``x`` and its relative error; change nothing."""
        return fit_quantizer(x, bits, signed=self.is_signed(x), affine=self.affine, granularity=self.granularity)

    def calibrate(
        self, x: Tensor, bit_widths: Iterable[int], scheme: Scheme = schemes["lsq"], *, node_scales: bool = False
    ) -> None:
        """Set a scale and zero point for each bit-width from the component's real values.

        Args:
            x: ``[rows, columns]`` or ``[entries]``.
            bit_widths: each within 1...8.
            scheme: quantization scheme, which says where scales come from.
            node_scales: whether nodes may have scales of their own, for a scheme with such scales.
        """
        self.signed = self.is_signed(x)
        if self.granularity is Granularity.ROW:
            greatest = float(row_magnitude(x).max()) if x.numel() else 0.0
            self.row_exponent = FixedPoint.exponent_for(greatest or 1.0, _ROW_MANTISSA_BITS)
        ranges = [IntegerRange(bits, self.signed) for bits in bit_widths]
        self.scales = fitted_scales(
            x.detach(),
            ranges,
            scheme,
            affine=self.affine,
            granularity=self.granularity,
            node_scales=node_scales,
            running=self.kind != "weight",
        )
        self.scales.train(self.training)

    def check_bits(self, bits: int | None) -> None:
        """Check that a bit-width was calibrated.

        Raises:
            BitWidthError: naming the component and the bit-width.
        """
        if bits not in self.scales.bit_widths:
            known = tuple(sorted(self.scales.bit_widths))
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
        """The scale at the bit-width in force, float64, with gradient if it is learned."""
        return self.scales.scale(self.range)

    @property
    def zero_point(self) -> int:
        return self.scales.zero_point(self.range)

    def quantizer(self) -> Quantizer:
        """Return the quantizer at the bit-width in force."""
        row_exponent = self.scales.row_exponent(self.range) if self.row_exponent is None else self.row_exponent
        return Quantizer(self.range, self.scale.detach(), self.zero_point, row_exponent)

    def follow(self, real: Callable[[], Tensor], protected: Tensor | None = None) -> None:
        """Update the scales by the component's real values in training; see :meth:`Scales.follow`."""
        self.scales.follow(real, self.range, protected)

    def fake_quantize(self, x: Tensor | SparseMatrix, protected: Tensor | None = None) -> FakeQuantized:
        """Quantize real values, with gradients to them and to the scale.

        Args:
            x: ``[rows, columns]`` or ``[entries]``.
            protected: bool ``[rows, 1]``: rows that stay unquantized, or None.
        """
        if isinstance(x, SparseMatrix) and self.range.is_sign:
            x = x.to_dense()  # one signed bit turns zeros into +1
        row, entries, kept = None, x, protected
        if isinstance(x, SparseMatrix):
            entries, kept = x.value, None if protected is None else protected[x.csr.row]
        assert isinstance(entries, Tensor)
        if self.row_exponent is not None:
            magnitude = row_magnitude(x)
            row = FixedPoint.nearest(magnitude, self.row_exponent)
            divisor = magnitude[x.csr.row, 0] if isinstance(x, SparseMatrix) else magnitude
            entries = entries / nonzero(divisor).to(x.dtype)
        self.follow(lambda: entries, kept)
        if kept is not None and isinstance(x, SparseMatrix):
            kept = kept[:, 0]
        rounded = fake_round(entries / self.scale.to(x.dtype), self.range, self.zero_point, kept)
        values = x.with_value(rounded) if isinstance(x, SparseMatrix) else rounded
        return FakeQuantized(values, self.scale, self.range, self.zero_point, row, self.name, protected)

    def requantization(self, scale: Tensor, bias: Tensor | None, row_exponent: int | None) -> AnyRequantization:
        """Return the fixed-point map from sums of real scale ``scale`` to this component's integers.

        Args:
            scale: real scale of the sums, float64 ``[]`` or ``[columns]``.
            bias: real numbers, ``[columns]``, or None.
            row_exponent: exponent of the fixed-point row scales that multiply the sums, or None.
        """
        unit = self.scales.unit(self.range).detach()
        steps = None if bias is None else bias.detach().double() / unit
        return self.scales.requantization(scale.detach() / unit, steps, row_exponent, self.range)

    def fake_requantize(
        self,
        sums: Tensor,
        scale: Tensor,
        bias: Tensor | None = None,
        row: FixedPoint | None = None,
        protected: Tensor | None = None,
    ) -> FakeQuantized:
        """Map integer sums in a float tensor, of real scale ``scale`` times ``row``, to this component's integers."""
        self.follow(lambda: _real(sums, scale if row is None else scale * row.to_real(), bias), protected)
        requantization = self.requantization(scale, bias, None if row is None else row.exponent)
        unit = self.scales.unit(self.range)
        steps = fake_map(sums, scale / unit, None if bias is None else bias.double() / unit, row, requantization)
        return self.scales.fake_quantized(steps, self.range, self.name, protected)

    def alignment(self, scales: Sequence[Tensor], bias: Tensor | None) -> AnyAlignment:
        """Return the fixed-point map from centred integers of real scales ``scales`` to this component's integers.

        Args:
            scales: float64 ``[]`` or ``[columns]``, one for each source.
            bias: real numbers, ``[columns]``, or None.
        """
        unit = self.scales.unit(self.range).detach()
        steps = None if bias is None else bias.detach().double() / unit
        return self.scales.alignment([scale.detach() / unit for scale in scales], steps, self.range)

    def fake_align(
        self,
        values: Sequence[Tensor],
        scales: Sequence[Tensor],
        bias: Tensor | None = None,
        protected: Tensor | None = None,
    ) -> FakeQuantized:
        """Add centred integers in float tensors, of real scales ``scales``, to this component's integers."""
        self.follow(lambda: _real(sum(map(_real, values, scales), values[0].new_zeros(())), None, bias), protected)
        return self._aligned(values, scales, bias, protected)

    def fake_join(
        self,
        values: Sequence[Tensor],
        scales: Sequence[Tensor],
        join: Callable[[Sequence[Tensor]], Tensor],
        protected: Tensor | None = None,
    ) -> FakeQuantized:
        """Join centred integers in float tensors, of real scales ``scales``, as this component's integers."""
        self.follow(lambda: join(list(map(_real, values, scales))), protected)
        pairs = zip(values, scales, strict=True)
        parts = [self._aligned([centred], [scale], None, protected) for centred, scale in pairs]
        return replace(parts[0], values=join([part.dense for part in parts]))

    def _aligned(
        self, values: Sequence[Tensor], scales: Sequence[Tensor], bias: Tensor | None, protected: Tensor | None
    ) -> FakeQuantized:
        unit = self.scales.unit(self.range)
        steps = None if bias is None else bias.double() / unit
        total = fake_sum(values, [scale / unit for scale in scales], steps, self.alignment(scales, bias))
        return self.scales.fake_quantized(total, self.range, self.name, protected)


def _real(values: Tensor, scale: Tensor | None, bias: Tensor | None = None) -> Tensor:
    values = values if scale is None else values * scale.to(values.dtype)
    return values if bias is None else values + bias.to(values.dtype)
