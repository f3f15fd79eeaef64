"""Quantizers as value objects, fake quantization, fixed-point requantization, tensors of integers."""

from mixq_rl.quantization.alignment import Alignment
from mixq_rl.quantization.fake import FakeQuantized, fake_align, fake_requantize, fake_round, substitute
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import MAX_BITS, IntegerRange, check_bit_widths
from mixq_rl.quantization.learned import ComponentKind, LearnedQuantizer
from mixq_rl.quantization.packing import PackedRows
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.quantization.quantizer import Quantizer, fit_quantizer, row_magnitude
from mixq_rl.quantization.requantization import Requantization, rounding_shift

__all__ = [
    "MAX_BITS",
    "Alignment",
    "ComponentKind",
    "FakeQuantized",
    "FixedPoint",
    "Granularity",
    "IntegerRange",
    "LearnedQuantizer",
    "PackedRows",
    "QTensor",
    "Quantizer",
    "Requantization",
    "check_bit_widths",
    "fake_align",
    "fake_requantize",
    "fake_round",
    "fit_quantizer",
    "rounding_shift",
    "row_magnitude",
    "substitute",
]
