"""Combinations of bit-widths whose int32 sums might overflow, found before anything is executed."""

import itertools
from collections.abc import Sequence

from mixq_rl.errors import SumOverflowError
from mixq_rl.evaluation.frozen_steps import FrozenSteps
from mixq_rl.evaluation.protocol import Forbidden
from mixq_rl.graph import Graph

__all__ = ["overflowing"]


def overflowing(frozen: FrozenSteps, graphs: Sequence[Graph], bit_widths: Sequence[int]) -> tuple[Forbidden, ...]:
    """Return the least combinations of bit-widths at which a step of a network might overflow int32.

    Each step is checked at the most bits of the components that it depends on, and only where that fails at the other
    combinations. No step is executed on integers.

    Args:
        frozen: steps of the network.
        graphs: graphs that the network is executed on.
        bit_widths: bit-widths on offer, ascending.

    Raises:
        SumOverflowError: if no allocation can be executed.
    """
    search = _Search(frozen, graphs, bit_widths)
    for step in range(len(search.positions)):
        nothing = search.overflow(step, ())
        if nothing is not None:
            raise nothing
    return tuple(dict.fromkeys(found for step in range(len(search.positions)) for found in search.least(step)))


class _Search:
    """Checks of single steps, with the fewest bits for all components that a step does not depend on."""

    def __init__(self, frozen: FrozenSteps, graphs: Sequence[Graph], bit_widths: Sequence[int]) -> None:
        self.frozen, self.graphs, self.bit_widths = frozen, graphs, bit_widths
        self.lowest = (bit_widths[0],) * len(frozen.model.quantizers)
        frozen.at(self.lowest)
        self.positions = frozen.positions

    def overflow(self, step: int, chosen: Sequence[int]) -> SumOverflowError | None:
        """Return why a step might overflow with the bit-widths ``chosen`` for its components, or None."""
        position, allocation = self.positions[step], list(self.lowest)
        for component, bits in zip(position.frozen_from, chosen, strict=False):
            allocation[component] = bits
        try:
            values = self.frozen.at(tuple(allocation))
            here = values[step + 1].step
            assert here is not None
            for graph in self.graphs:
                here.check(graph, [values[source].signature for source in position.sources])
        except SumOverflowError as error:
            return error
        return None

    def least(self, step: int) -> list[Forbidden]:
        """Return the combinations at which a step might overflow, without those that have more bits than another."""
        components = self.positions[step].frozen_from
        if self.overflow(step, [self.bit_widths[-1]] * len(components)) is None:
            return []
        found: dict[tuple[int, ...], SumOverflowError] = {}
        for chosen in sorted(itertools.product(self.bit_widths, repeat=len(components)), key=sum):
            if any(all(map(int.__ge__, chosen, less)) for less in found):
                continue
            error = self.overflow(step, chosen)
            if error is not None:
                found[chosen] = error
        return [self._forbidden(components, chosen, str(error)) for chosen, error in found.items()]

    def _forbidden(self, components: Sequence[int], chosen: Sequence[int], reason: str) -> Forbidden:
        """Return a combination without the components that have the fewest bits: these do not matter."""
        kept = [pair for pair in zip(components, chosen, strict=True) if pair[1] > self.bit_widths[0]]
        return Forbidden(tuple(component for component, _ in kept), tuple(bits for _, bits in kept), reason)
