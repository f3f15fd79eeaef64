"""Objectives of a search, such as bit operations or time, and their registry."""

from collections.abc import Callable
from dataclasses import dataclass

from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.registry import Registry

__all__ = ["BITOPS", "LATENCY", "SIZE", "CostColumn", "Objective", "objectives"]


@dataclass(frozen=True)
class CostColumn:
    """The column of a cost in tables and files. Bit operations have columns of their own in every table.

    Attributes:
        heading: heading of the cost: ``"time"``.
        unit: unit in which the cost is shown: ``"ms"``.
        scale: number of these units in one unit of the cost.
        saving: heading of the saving: ``"speed-up"``.
        cost_field: name of the cost in files: ``"seconds"``.
        saving_field: name of the saving in files and in TensorBoard: ``"speed_up"``.
        note: added to the caption of a table.
    """

    heading: str
    unit: str
    scale: float
    saving: str
    cost_field: str
    saving_field: str
    note: str = ""

    def write(self, cost: float) -> str:
        """Return a cost in the unit of the column, with three decimals."""
        return f"{self.scale * cost:.3f}"


@dataclass(frozen=True)
class Objective:
    """A cost that a search lowers, compared with that of the float32 reference.

    Attributes:
        name: name in options and files.
        cost: returns the cost of an evaluation, a positive number; lower is better.
        label: label of the saving on an axis.
        compared: words after a factor: ``"fewer bit operations than float32"``.
        column: column of the cost in tables; None: all tables have the cost already.
        timing_repeats: number of timed executions of an evaluation, as in
            :class:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator`.
        repeatable: whether two runs of one configuration have the same costs.

    Example:
        >>> objectives["latency"].saving(
        ...     Evaluation((8,), 0.8, 4.0, 4.0, 1.0, 16.0, seconds=0.002),
        ...     Evaluation((32,), 0.8, 16.0, 1.0, 16.0, 1.0, seconds=0.003),
        ... )
        1.5
    """

    name: str
    cost: Callable[[Evaluation], float]
    label: str
    compared: str
    column: CostColumn | None = None
    timing_repeats: int = 1
    repeatable: bool = True

    def saving(self, evaluation: Evaluation, reference: Evaluation) -> float:
        """Return the cost of ``reference`` over the cost of ``evaluation``. A saving below 1 means a higher cost.

        Raises:
            InputError: if one of the two has no cost, for example because no time was measured.
        """
        costs = [self.cost(each) for each in (evaluation, reference)]
        for cost, each in zip(costs, (evaluation, reference), strict=True):
            if not cost > 0:
                raise InputError(
                    f"allocation {each.allocation} has no cost for the objective {self.name!r}: the evaluator has to "
                    "measure it"
                )
        return costs[1] / costs[0]

    def __repr__(self) -> str:
        return self.name


objectives: Registry[Objective] = Registry("objective")


class _BitOps(Objective):
    def saving(self, evaluation: Evaluation, reference: Evaluation) -> float:
        return evaluation.reduction


def _bitops(evaluation: Evaluation) -> float:
    return evaluation.bitops


def _seconds(evaluation: Evaluation) -> float:
    return evaluation.seconds


def _size(evaluation: Evaluation) -> float:
    return float(evaluation.size)


BITOPS = objectives.register("bitops")(
    _BitOps(
        "bitops",
        _bitops,
        label="reduction in bit operations against float32 (linear convention)",
        compared="fewer bit operations than float32",
    )
)
"""Bit operations, convention ``linear``. The saving is the reduction."""

LATENCY = objectives.register("latency")(
    Objective(
        "latency",
        _seconds,
        label="speed-up against float32 (measured)",
        compared="float32's speed",
        column=CostColumn(
            heading="time",
            unit="ms",
            scale=1e3,
            saving="speed-up",
            cost_field="seconds",
            saving_field="speed_up",
            note="time: median of warm executions, on this machine under its present load",
        ),
        timing_repeats=9,
        repeatable=False,
    )
)
"""Seconds, as measured on this machine under its load. The saving is the speed-up."""

SIZE = objectives.register("size")(
    Objective(
        "size",
        _size,
        label="reduction in size against float32",
        compared="smaller than float32",
        column=CostColumn(
            heading="size",
            unit="kB",
            scale=1e-3,
            saving="times smaller",
            cost_field="size",
            saving_field="size_reduction",
            note="size: the network's files in units of 1000 bytes; float32: 4 bytes for each parameter",
        ),
    )
)
"""Bytes of the network as it is shipped. The saving is the size of float32's weights and biases over them."""
