"""Quantizers, schemes of quantization-aware training, fake quantization, fixed point, and tensors of integers."""

from mixq_rl.quantization.alignment import Alignment
from mixq_rl.quantization.bank import AnyAlignment, AnyRequantization, BankAlignment, BankRequantization, ScaleBank
from mixq_rl.quantization.fake import (
    FakeQuantized,
    LearnedFixedPoint,
    fake_map,
    fake_round,
    fake_sum,
    straight_clamp,
    straight_round,
    substitute,
)
from mixq_rl.quantization.feature_scaling import FeatureScaling, scale_features
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import DEFAULT_BITS, MAX_BITS, IntegerRange, check_bit_widths
from mixq_rl.quantization.learned import ComponentKind, LearnedQuantizer
from mixq_rl.quantization.observers import MeanSquaredError, MinMax, MovingAverage, Observer, Percentile
from mixq_rl.quantization.packing import PackedRows
from mixq_rl.quantization.protection import Protection
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.quantization.quantizer import Quantizer, fit_quantizer, row_magnitude
from mixq_rl.quantization.requantization import Requantization, rounding_shift
from mixq_rl.quantization.scheme import Scheme, schemes

__all__ = [
    "DEFAULT_BITS",
    "MAX_BITS",
    "Alignment",
    "AnyAlignment",
    "AnyRequantization",
    "BankAlignment",
    "BankRequantization",
    "ComponentKind",
    "FakeQuantized",
    "FeatureScaling",
    "FixedPoint",
    "Granularity",
    "IntegerRange",
    "LearnedFixedPoint",
    "LearnedQuantizer",
    "MeanSquaredError",
    "MinMax",
    "MovingAverage",
    "Observer",
    "PackedRows",
    "Percentile",
    "Protection",
    "QTensor",
    "Quantizer",
    "Requantization",
    "ScaleBank",
    "Scheme",
    "check_bit_widths",
    "fake_map",
    "fake_round",
    "fake_sum",
    "fit_quantizer",
    "rounding_shift",
    "row_magnitude",
    "scale_features",
    "schemes",
    "straight_clamp",
    "straight_round",
    "substitute",
]
