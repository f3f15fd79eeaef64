"""Schemes of quantization-aware training: where scales come from, and which nodes are protected."""

from dataclasses import dataclass, field

from mixq_rl.errors import InputError
from mixq_rl.quantization.observers import MeanSquaredError, MinMax, MovingAverage, Observer, Percentile, RangeObserver
from mixq_rl.quantization.protection import Protection
from mixq_rl.registry import Registry
from mixq_rl.storage.artifacts import storable

__all__ = ["Scheme", "schemes"]


@storable
@dataclass(frozen=True)
class Scheme:
    """Scheme of quantization-aware training: the source of the scales, and the protected nodes.

    A scheme is independent of the bit allocation.

    Attributes:
        observer: the observer that chooses the scales at calibration and, unless they are learned, in training.
        learn_scales: whether scales are trained with the weights (LSQ, Esser et al., ICLR 2020). Otherwise they follow
            the values that the observer measures in training.
        protection: protection of nodes from quantization in training (Degree-Quant), or None.
        scales_per_component: number of learned scales of a component that only products take as an operand. Each node
            takes the scale nearest to its ideal one (A²Q, Zhu et al., ICLR 2023). None: all nodes share one scale.

    Raises:
        InputError: for a combination of attributes that is not possible.
    """

    observer: Observer = field(default_factory=MeanSquaredError)
    learn_scales: bool = True
    protection: Protection | None = None
    scales_per_component: int | None = None

    def __post_init__(self) -> None:
        if not self.learn_scales and not isinstance(self.observer, RangeObserver):
            raise InputError(
                f"{type(self.observer).__name__} chooses scales once, at calibration: learn them from there, "
                f"or take an observer that follows a range, such as MovingAverage"
            )
        if self.scales_per_component is None:
            return
        if self.scales_per_component < 1:
            raise InputError(f"{self.scales_per_component} scales for a component: at least 1 is needed")
        if not self.learn_scales:
            raise InputError(f"{self.scales_per_component} scales for a component are learned: take learn_scales=True")


schemes: Registry[Scheme] = Registry("quantization scheme")
schemes.register("lsq")(Scheme())
schemes.register("min-max")(Scheme(MinMax(), learn_scales=False))
schemes.register("moving-average")(Scheme(MovingAverage(), learn_scales=False))
schemes.register("percentile")(Scheme(Percentile(), learn_scales=False))
schemes.register("degree-quant")(Scheme(Percentile(), learn_scales=False, protection=Protection()))
schemes.register("a2q")(Scheme(scales_per_component=64))
