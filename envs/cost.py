"""Predicted bit operations of an allocation, without executing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.nn import Component

__all__ = ["BitCost", "probes"]

# Coefficients are differences of measured sums, and so have rounding errors. Both numbers are shares of the cost of the
# most expensive allocation: the margin below a limit, and the tolerance of the check of the measured coefficients.
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
    def measured(cls, evaluator: Evaluator) -> Self:
        """Return the costs that follow from the evaluations of :func:`probes`.

        Args:
            evaluator: evaluates the probes; a :class:`~mixq_rl.Ledger` does not evaluate them again later.

        Raises:
            InputError: if the costs are not a sum over components: if the measured cost of a uniform allocation is not
                the sum predicted from allocations with one lowered component.
        """
        bits = tuple(evaluator.bit_widths)
        low, high = bits[0], bits[-1]
        count = len(evaluator.components)
        made = {e.allocation: e.bitops for e in evaluator.evaluate(probes(count, bits))}
        most_expensive = made[(high,) * count]
        per_bit = tuple(max(most_expensive - made[one], 0.0) / max(high - low, 1) for one in _lowered(count, low, high))
        cost = cls(per_bit, bits, most_expensive - high * sum(per_bit))
        for width in bits:
            found, predicted = made[(width,) * count], cost.fixed + width * sum(per_bit)
            if abs(predicted - found) > _TOLERANCE * most_expensive:
                raise InputError(
                    f"{width} bits everywhere cost {found:.6g} bit operations, though lowering components one by one "
                    f"predicts {predicted:.6g}: a limit cannot be kept where costs do not add up"
                )
        return cost

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

    def within(self, allocations: ArrayLike, limit: float) -> NDArray[np.bool_]:
        """Return which bit-widths of the next component allow the rest of the allocation to keep ``limit``.

        The lowest bit-width is always allowed. It keeps the limit if all earlier choices were allowed, too, and the
        cheapest allocation keeps the limit.

        Args:
            allocations: bit-widths chosen so far, ``[..., t]``.
            limit: greatest number of bit operations of the whole allocation.

        Returns:
            bool ``[..., bit-widths]``.
        """
        bits = np.asarray(allocations, dtype=np.float64)
        place, low = bits.shape[-1], self.bit_widths[0]
        least = self.spent(bits) + low * self._weights[place + 1 :].sum()
        totals = least[..., None] + self._weights[place] * np.asarray(self.bit_widths, dtype=np.float64)
        allowed = np.asarray(totals <= limit - _ROUNDING * self.most_expensive)
        allowed[..., 0] = True
        return allowed

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return np.asarray(self.per_bit, dtype=np.float64)

    @cached_property
    def _sum(self) -> float:
        return float(self._weights.sum())


def probes(components: int, bit_widths: Sequence[int]) -> list[tuple[int, ...]]:
    """Return allocations from which the effect of each component can be told.

    These are each bit-width for all components, and, for each component, the lowest bit-width for it and the highest
    for all others.

    Args:
        components: number of components n.
        bit_widths: k bit-widths on offer, ascending.

    Returns:
        n + k distinct allocations; fewer if there is only one component or one bit-width.
    """
    uniform = [(bits,) * components for bits in bit_widths]
    return list(dict.fromkeys([*uniform, *_lowered(components, bit_widths[0], bit_widths[-1])]))


def _lowered(components: int, low: int, high: int) -> list[tuple[int, ...]]:
    return [tuple(low if index == place else high for index in range(components)) for place in range(components)]
