"""Predicted bit operations of an allocation, without executing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.envs.limits import Budget, Limits
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.nn import Component

__all__ = ["BitCost"]

# Coefficients are differences of measured sums, and so have rounding errors. Both numbers are shares of the cost of the
# most expensive allocation: the margin above a limit, within which a cost counts as equal to it, and the tolerance of
# the check of the measured coefficients.
_ROUNDING = 1e-12
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class BitCost:
    """Bit operations as a sum over components: fixed + Σ per_bit · bits (convention ``linear``).

    Attributes:
        per_bit: bit operations of each component for each bit of its bit-width, not negative.
        bit_widths: bit-widths on offer, ascending.
        fixed: bit operations that do not depend on the bit-widths.
    """

    per_bit: tuple[float, ...]
    bit_widths: tuple[int, ...]
    fixed: float = 0.0

    @classmethod
    def estimated(cls, components: Sequence[Component], bit_widths: Sequence[int]) -> Self:
        """Return costs equal to the components' multiply-accumulates.

        Their proportions are nearly right. Their absolute size has no meaning.
        """
        return cls(tuple(float(max(component.macs, 1)) for component in components), tuple(bit_widths))

    @classmethod
    def measured(cls, evaluator: Evaluator, limits: Limits | None = None) -> Self:
        """Return the costs that follow from the evaluations of :meth:`~mixq_rl.envs.limits.Limits.probes`.

        A component that the limits leave no choice keeps an estimate, which no other allocation contradicts.

        Args:
            evaluator: evaluates the probes; a :class:`~mixq_rl.Ledger` does not evaluate them again later.
            limits: limits that the probes keep; None: none.

        Raises:
            InputError: if the costs are not a sum over components: if the measured cost of a uniform allocation is not
                the sum predicted from allocations with one lowered component.
        """
        limits = limits or Limits.none(len(evaluator.components), evaluator.bit_widths)
        pairs = _pairs(limits)
        wanted = dict.fromkeys([*limits.probes(), *(allocation for pair in pairs.values() for allocation in pair)])
        made = {e.allocation: e.bitops for e in evaluator.evaluate(list(wanted))}
        per_bit = [float(max(component.macs, 1)) for component in evaluator.components]
        estimated = sum(per_bit[place] for place in pairs)
        for place, (fewer, more) in pairs.items():
            per_bit[place] = max(made[more] - made[fewer], 0.0) / (more[place] - fewer[place])
        unit = sum(per_bit[place] for place in pairs) / estimated if pairs else 1.0
        per_bit = [cost if place in pairs else unit * cost for place, cost in enumerate(per_bit)]
        top = limits.highest
        cost = cls(tuple(per_bit), limits.bit_widths, made[top] - sum(c * b for c, b in zip(per_bit, top, strict=True)))
        for width, allocation in limits.uniform.items():
            found, predicted = made[allocation], float(cost.spent(allocation))
            if abs(predicted - found) > _TOLERANCE * made[top]:
                raise InputError(
                    f"{width} bits everywhere cost {found:.6g} bit operations, though lowering components one by one "
                    f"predicts {predicted:.6g}: a limit cannot be kept where costs do not add up"
                )
        return cost

    def budget(self, limit: float) -> Budget:
        """Return the limit ``limit`` on the bit operations of a whole allocation, as a budget; equal costs keep it."""
        margin = _ROUNDING * self.most_expensive
        return Budget(np.outer(self._weights, self.bit_widths), self.fixed, limit + margin)

    @property
    def cheapest(self) -> float:
        """Cost of the cheapest allocation."""
        return self.fixed + self.bit_widths[0] * self._sum

    @property
    def most_expensive(self) -> float:
        """Cost of the most expensive allocation."""
        return self.fixed + self.bit_widths[-1] * self._sum

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each component in the cost of bits, ``[components]``; the shares sum to 1."""
        return self._weights / max(self._sum, np.finfo(np.float64).tiny)

    def spent(self, allocations: ArrayLike) -> NDArray[np.float64]:
        """Return the cost of the first t components, including the fixed part.

        Args:
            allocations: bit-widths, ``[..., t]``.

        Returns:
            Bit operations, float64 ``[...]``.
        """
        bits = np.asarray(allocations, dtype=np.float64)
        return np.asarray(self.fixed + bits @ self._weights[: bits.shape[-1]], dtype=np.float64)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return np.asarray(self.per_bit, dtype=np.float64)

    @cached_property
    def _sum(self) -> float:
        return float(self._weights.sum())


def _pairs(limits: Limits) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return two allocations within the limits that differ in one component only, for each component with a choice."""
    top, low = limits.highest, limits.lowest
    pairs = {}
    for place, widths in enumerate(limits.allowed):
        lowered = (*top[:place], widths[0], *top[place + 1 :])
        raised = [(*low[:place], bits, *low[place + 1 :]) for bits in widths[1:]]
        possible = [allocation for allocation in raised if limits.keeps([allocation])[0]]
        if lowered != top:
            pairs[place] = (lowered, top)
        elif possible:
            pairs[place] = (low, possible[0])
    return pairs
