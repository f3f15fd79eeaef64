"""How a network is quantized in training: where scales come from, and what is protected."""

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
    """Where the scales of a network's components come from, at any bit allocation, and which nodes are protected.

    Attributes:
        observer: chooses the scales at calibration and, where they are not learned, in training.
        learn_scales: whether scales are trained with the weights (LSQ, Esser et al., ICLR 2020), or follow the values
            that the observer sees in training.
        protection: of nodes from quantization in training (Degree-Quant), or None.
        scales_per_component: of a result that only products take: number of learned scales from which each node takes
            the nearest to its own magnitude (A²Q, Zhu et al., ICLR 2023); None: all nodes share one scale.

    Raises:
        InputError: for combinations that cannot be.
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
