"""Limits on allocations: allowed bit-widths of each component, budgets and forbidden combinations, as masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.evaluation.protocol import Forbidden

__all__ = ["Budget", "Limits"]

Allocation = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Budget:
    """A cost that is a sum over components, and the greatest sum that is allowed. More bits never cost less.

    Attributes:
        costs: cost of each component at each bit-width on offer, float64 ``[components, bit-widths]``.
        fixed: cost that does not depend on the bit-widths.
        limit: greatest total.
    """

    costs: NDArray[np.float64]
    fixed: float
    limit: float

    def spent(self, columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cost of the first t components, ``[allocations]``, with the fixed part.

        Args:
            columns: indices into the bit-widths on offer, ``[allocations, t]``.
        """
        chosen = self.costs[np.arange(columns.shape[1]), columns]
        return np.asarray(self.fixed + chosen.sum(axis=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Limits:
    """Limits that allocations of one evaluator keep.

    All limits are monotone in the bits: an allocation within them stays within them when the bits of a component are
    lowered to another bit-width that is allowed for it. A bit-width of the next component is therefore allowed if and
    only if the allocation keeps all limits when all later components have their lowest allowed bit-widths.

    Attributes:
        bit_widths: bit-widths on offer, ascending.
        allowed: bit-widths that each component may have, ascending, among ``bit_widths``.
        forbidden: combinations that the evaluator cannot execute. The allocation of the lowest allowed bit-widths is
            none of them.
        budgets: costs and their limits. The allocation of the lowest allowed bit-widths keeps them.
    """

    bit_widths: tuple[int, ...]
    allowed: tuple[tuple[int, ...], ...]
    forbidden: tuple[Forbidden, ...] = ()
    budgets: tuple[Budget, ...] = ()

    @classmethod
    def none(cls, components: int, bit_widths: Sequence[int]) -> "Limits":
        """Return limits that allow each bit-width on offer for each component."""
        return cls(tuple(bit_widths), (tuple(bit_widths),) * components)

    def within(self, budget: Budget) -> "Limits":
        """Return these limits and one more budget."""
        return replace(self, budgets=(*self.budgets, budget))

    @cached_property
    def lowest(self) -> Allocation:
        """The allocation of the lowest allowed bit-widths."""
        return tuple(widths[0] for widths in self.allowed)

    @cached_property
    def highest(self) -> Allocation:
        """An allocation that keeps the limits, of which no component can have more bits.

        It is that of the highest allowed bit-widths if that keeps the limits. Otherwise all components are raised from
        their lowest bit-widths by one step after another, in turns, as long as the limits are kept.
        """
        found = [widths[-1] for widths in self.allowed]
        if self.keeps([found])[0]:
            return tuple(found)
        found, rising = list(self.lowest), set(range(len(self.allowed)))
        while rising:
            for place in sorted(rising):
                higher = [bits for bits in self.allowed[place] if bits > found[place]]
                raised = [*found[:place], *higher[:1], *found[place + 1 :]]
                if higher and self.keeps([raised])[0]:
                    found = raised
                else:
                    rising.discard(place)
        return tuple(found)

    def masks(self, allocations: ArrayLike) -> NDArray[np.bool_]:
        """Return which bit-widths on offer are allowed for the next component, bool ``[allocations, bit-widths]``.

        Args:
            allocations: bit-widths of the first t components, fewer than all, ``[allocations, t]``. Each was allowed.
        """
        bits = np.asarray(allocations, dtype=np.int64)
        place = bits.shape[1]
        masks = np.tile(self._allowed[place], (len(bits), 1))
        for budget, later in zip(self.budgets, self._later, strict=True):
            totals = (budget.spent(self._columns(bits)) + later[place])[:, None] + budget.costs[place]
            masks &= totals <= budget.limit
        for forbidden in self.forbidden:
            masks &= ~self._reached(forbidden, bits)
        masks[:, self._lowest_columns[place]] = True  # whatever the rounding of the sums
        return masks

    def keeps(self, allocations: ArrayLike) -> NDArray[np.bool_]:
        """Return which complete allocations keep all limits, bool ``[allocations]``.

        Args:
            allocations: bit-widths on offer, ``[allocations, components]``.
        """
        bits = np.asarray(allocations, dtype=np.int64)
        columns = self._columns(bits)
        kept = np.ones(len(bits), dtype=np.bool_)
        for budget in self.budgets:
            kept &= budget.spent(columns) <= budget.limit
        for forbidden in self.forbidden:
            kept &= ~(bits[:, list(forbidden.components)] >= np.array(forbidden.bit_widths)).all(axis=1)
        kept |= (bits == np.array(self.lowest)).all(axis=1)
        return np.asarray(kept & self._allowed[np.arange(bits.shape[1]), columns].all(axis=1))

    def nearest(self, allocations: ArrayLike) -> NDArray[np.int64]:
        """Return allocations in which each component has the nearest bit-width that is allowed for it.

        Budgets and forbidden combinations are not looked at. Of two that are equally near, the lower is taken.

        Args:
            allocations: bit-widths on offer, ``[allocations, components]``.
        """
        columns = self._columns(np.asarray(allocations, dtype=np.int64))
        return np.asarray(self._nearest[np.arange(columns.shape[1]), columns])

    def completed(self, allocations: ArrayLike, random: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Return allocations that keep all limits, in which as many bit-widths as possible are those given.

        Component after component, a bit-width that is not allowed is replaced by the nearest that is; of two, by the
        lower. Allocations that keep the limits do not change.

        Args:
            allocations: bit-widths on offer, ``[allocations, components]``.
            random: draws the replacements instead, uniformly from the allowed bit-widths.
        """
        wanted = self._columns(np.asarray(allocations, dtype=np.int64))
        widths = np.array(self.bit_widths)
        found = np.zeros((len(wanted), 0), dtype=np.int64)
        for place in range(wanted.shape[1]):
            masks = self.masks(found)
            distance = np.abs(widths - widths[wanted[:, place]][:, None]).astype(np.float64)
            if random is not None and not masks[np.arange(len(masks)), wanted[:, place]].all():
                distance = np.where(distance == 0, distance, 1 + random.random(distance.shape))
            chosen = np.where(masks, distance, np.inf).argmin(axis=1)
            found = np.concatenate([found, widths[chosen][:, None]], axis=1)
        return found

    @cached_property
    def uniform(self) -> dict[int, Allocation]:
        """For each bit-width on offer, the allocation in which each component has the nearest that is allowed for it.

        Those that do not keep the budgets, or are forbidden, are left out; so are repetitions.
        """
        nearest = self.nearest([[bits] * len(self.allowed) for bits in self.bit_widths])
        kept = self.keeps(nearest)
        found = {
            bits: tuple(row) for bits, row, keeps in zip(self.bit_widths, nearest.tolist(), kept, strict=True) if keeps
        }
        # Of bit-widths with the same allocation, the one that most of its components have.
        best = {row: max(found, key=lambda bits: (found[bits] == row, row.count(bits))) for row in found.values()}
        return {bits: row for row, bits in best.items()}

    def probes(self) -> list[Allocation]:
        """Return allocations within the limits from which the effect of each component can be told.

        These are :attr:`uniform`, and :attr:`highest` with the lowest bit-width for one component after another. Of n
        components and k bit-widths without limits these are n + k; fewer if n or k is one.
        """
        return list(dict.fromkeys([*self.uniform.values(), self.highest, *self.lowered(self.highest)]))

    def lowered(self, allocation: Allocation) -> list[Allocation]:
        """Return the allocation with the lowest allowed bit-width for one component after another."""
        return [
            (*allocation[:place], bits, *allocation[place + 1 :])
            for place, bits in enumerate(self.lowest)
            if bits != allocation[place]
        ]

    def _columns(self, bits: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.bit_widths, bits)

    def _reached(self, forbidden: Forbidden, bits: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return with which bit-widths of the next component a combination is reached, the later ones at their lowest.

        Returns:
            bool ``[allocations, bit-widths]``.
        """
        place = bits.shape[1]
        reached = np.ones((len(bits), len(self.bit_widths)), dtype=np.bool_)
        for component, least in zip(forbidden.components, forbidden.bit_widths, strict=True):
            if component < place:
                reached &= bits[:, component, None] >= least
            elif component == place:
                reached &= np.array(self.bit_widths) >= least
            else:
                reached &= self.lowest[component] >= least
        return reached

    @cached_property
    def _allowed(self) -> NDArray[np.bool_]:
        return np.array([[bits in widths for bits in self.bit_widths] for widths in self.allowed])

    @cached_property
    def _lowest_columns(self) -> NDArray[np.int64]:
        return self._columns(np.array(self.lowest))

    @cached_property
    def _nearest(self) -> NDArray[np.int64]:
        """Nearest allowed bit-width of each component for each bit-width on offer, ``[components, bit-widths]``."""

        def nearest(widths: Allocation, bits: int) -> int:
            return min(widths, key=lambda own: (abs(own - bits), own))

        return np.array([[nearest(widths, bits) for bits in self.bit_widths] for widths in self.allowed])

    @cached_property
    def _later(self) -> list[NDArray[np.float64]]:
        """For each budget, the least cost of all components after each one, ``[components]``."""
        found = []
        for budget in self.budgets:
            least = budget.costs[np.arange(len(self.allowed)), self._lowest_columns]
            found.append(least[::-1].cumsum()[::-1] - least)
        return found
