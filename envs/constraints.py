"""Constraints of a user on allocations, by names of components, and the limits that they mean for an evaluator."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from mixq_rl.envs.cost import BitCost
from mixq_rl.envs.limits import Budget, Limits
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.quantization import check_bit_widths

__all__ = ["Constraints", "Resolved"]

Given = Mapping[str, int | Sequence[int]] | Sequence[tuple[str, int | Sequence[int]]]


class Resolved(NamedTuple):
    """What constraints mean for an evaluator.

    Attributes:
        limits: limits on its allocations.
        cost: measured cost of bits; None without a limit on bit operations.
    """

    limits: Limits
    cost: BitCost | None


@dataclass(frozen=True)
class Constraints:
    """Constraints on allocations.

    Args:
        bits_of: bit-widths of components, by names or patterns of :mod:`fnmatch`: ``{"conv1.weight": 8,
            "conv*.adjacency": (4, 8)}``. A component that several patterns match may have the bit-widths that all of
            them allow.
        bits: bit-widths of the components that no pattern matches; None: all on offer.
        max_size: greatest size of the network, in bytes; see :attr:`~mixq_rl.Evaluation.size`.
        max_bitops: greatest number of bit operations of the network, convention ``linear``.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        InputError: for a limit that is not positive.

    Example:
        >>> Constraints(bits_of={"conv1.weight": 8}, max_size=64_000).bits_of
        (('conv1.weight', (8,)),)
    """

    bits_of: Given = ()
    bits: tuple[int, ...] | None = None
    max_size: float | None = None
    max_bitops: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits_of", tuple((name, _widths(name, bits)) for name, bits in _pairs(self.bits_of)))
        if self.bits is not None:
            object.__setattr__(self, "bits", check_bit_widths(self.bits))
        for limit, unit in ((self.max_size, "bytes"), (self.max_bitops, "bit operations")):
            if limit is not None and not limit > 0:
                raise InputError(f"a limit of {limit:g} {unit}: it must be positive")

    def allowed(self, names: Sequence[str], bit_widths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return the bit-widths that each component may have, ascending.

        Args:
            names: names of the components.
            bit_widths: bit-widths on offer.

        Raises:
            InputError: for a pattern that matches no component, or patterns that leave a component no bit-width.
            BitWidthError: for a bit-width that is not on offer.
        """
        patterns = [(pattern, _widths(pattern, bits)) for pattern, bits in _pairs(self.bits_of)]
        for pattern, bits in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(_unmatched(pattern, names))
            for width in bits:
                if width not in bit_widths:
                    raise BitWidthError(f"bit-width {width} of {pattern!r} is not among {tuple(bit_widths)}")
        return tuple(self._of(name, patterns, bit_widths) for name in names)

    def resolve(self, evaluator: Ledger, max_bitops: float | None = None) -> Resolved:
        """Return the limits that the constraints mean for an evaluator.

        For a limit on the size, the sizes of some allocations are asked for; for one on bit operations, some are
        evaluated (:meth:`BitCost.measured`).

        Args:
            evaluator: ledger of the evaluator.
            max_bitops: one more limit on bit operations; the lower of the two counts.

        Raises:
            InputError: as in :meth:`allowed`; or for limits that no allocation keeps, or costs that do not add up.
            BitWidthError: as in :meth:`allowed`.
        """
        names = [component.name for component in evaluator.components]
        limits = Limits(evaluator.bit_widths, self.allowed(names, evaluator.bit_widths), evaluator.forbidden)
        for forbidden in limits.forbidden:
            pairs = zip(forbidden.components, forbidden.bit_widths, strict=True)
            if all(limits.lowest[component] >= bits for component, bits in pairs):
                raise InputError(f"no allocation within the bit-widths can be executed: {forbidden.reason}")
        within = " of the given bit-widths" if self.bits_of or self.bits else ""
        if self.max_size is not None:
            limits = limits.within(_size_budget(evaluator, limits, self.max_size, within))
        given = [limit for limit in (self.max_bitops, max_bitops) if limit is not None]
        if not given:
            return Resolved(limits, None)
        most = min(given)
        cost = BitCost.measured(evaluator, limits)
        least, greatest = evaluator.evaluate([limits.lowest, limits.highest])
        if most < least.bitops:
            raise InputError(
                f"a limit of {most:.6g} bit operations cannot be kept: allocations{within} take {least.bitops:.6g} "
                f"({least.reduction:.4g}× fewer than float32) to {greatest.bitops:.6g} ({greatest.reduction:.4g}×)"
            )
        return Resolved(limits.within(cost.budget(most)), cost)

    def _of(
        self, name: str, patterns: Sequence[tuple[str, tuple[int, ...]]], bit_widths: Sequence[int]
    ) -> tuple[int, ...]:
        own = [(pattern, bits) for pattern, bits in patterns if fnmatchcase(name, pattern)]
        if not own:
            return tuple(bits for bits in bit_widths if self.bits is None or bits in self.bits)
        left = tuple(bits for bits in bit_widths if all(bits in chosen for _, chosen in own))
        if not left:
            texts = " and ".join(f"{pattern}={','.join(map(str, bits))}" for pattern, bits in own)
            raise InputError(f"{texts} leave no bit-width for component {name!r}")
        return left


def _pairs(given: Given) -> list[tuple[str, int | Sequence[int]]]:
    return list(given.items() if isinstance(given, Mapping) else given)


def _widths(pattern: str, bits: int | Sequence[int]) -> tuple[int, ...]:
    try:
        return check_bit_widths((bits,) if isinstance(bits, int) else bits)
    except BitWidthError as error:
        raise BitWidthError(f"{pattern!r}: {error}") from error


def _unmatched(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no component matches {pattern!r}: the components are {', '.join(names)}{hint}"


def _size_budget(evaluator: Ledger, limits: Limits, limit: float, within: str) -> Budget:
    """Return the budget of a limit on the size.

    The part of a component at a bit-width is what it adds to the smallest network.
    """
    lowest, raised = limits.lowest, dict[tuple[int, int], tuple[int, ...]]()
    for place, widths in enumerate(limits.allowed):
        for bits in widths[1:]:
            allocation = (*lowest[:place], bits, *lowest[place + 1 :])
            if limits.keeps([allocation])[0]:
                raised[place, bits] = allocation
    smallest, greatest, *sizes = evaluator.sizes([lowest, limits.highest, *raised.values()])
    if not smallest:
        raise InputError("the evaluator does not say how large its networks are: a limit on the size needs that")
    if limit < smallest:
        raise InputError(
            f"a limit of {limit:,.0f} bytes cannot be kept: networks{within} take {smallest:,} to {greatest:,} bytes"
        )
    costs = np.zeros((len(limits.allowed), len(limits.bit_widths)))
    for (place, bits), size in zip(raised, sizes, strict=True):
        costs[place, limits.bit_widths.index(bits)] = size - smallest
    budget = Budget(costs, float(smallest), limit)
    predicted = float(budget.spent(np.searchsorted(limits.bit_widths, [limits.highest]))[0])
    if predicted != greatest:
        raise InputError(
            f"a network of {greatest:,} bytes, though raising components one by one predicts {predicted:,.0f}: a limit "
            "on the size cannot be kept where sizes do not add up"
        )
    return budget
