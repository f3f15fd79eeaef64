"""No episode, no search and no policy leaves the limits: bit-widths of components, budgets, forbidden combinations."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixq_rl import Ledger
from mixq_rl.envs import Constraints, EpisodeRules, Episodes, Limits, MaxBitOps, MaxDrop
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.evaluation.protocol import Evaluation, Forbidden
from tests.lookup_table import LookupTable

NAMES = ("conv1.input", "conv1.weight", "conv1.message", "conv1.aggregate")
PATTERNS = (*NAMES, "conv1.*", "*.weight", "conv?.[im]*")
WIDTHS = (1, 2, 4, 8)


class Table(LookupTable):
    """A lookup table of networks with a size, some of which cannot be executed."""

    bit_widths = WIDTHS
    reference = replace(LookupTable.reference, size=4000)

    def __init__(self, forbidden: Sequence[Forbidden] = ()) -> None:
        super().__init__()
        self.forbidden = tuple(forbidden)

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        for allocation in allocations:
            assert not any(is_forbidden(each, allocation) for each in self.forbidden), allocation
        return [replace(e, size=size_of(e.allocation)) for e in super().evaluate(allocations)]

    def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
        return [size_of(allocation) for allocation in allocations]


def size_of(allocation: Sequence[int]) -> int:
    return 100 + 40 * allocation[1] + 2 ** allocation[3]


def is_forbidden(forbidden: Forbidden, allocation: Sequence[int]) -> bool:
    pairs = zip(forbidden.components, forbidden.bit_widths, strict=True)
    return all(allocation[component] >= bits for component, bits in pairs)


def permitted(constraints: Constraints, table: Table, max_bitops: float | None = None) -> list[tuple[int, ...]]:
    """Return all allocations that keep the constraints, by their definition."""
    found = []
    for allocation in itertools.product(WIDTHS, repeat=4):
        (evaluation,) = LookupTable().evaluate([allocation])
        most = min(limit for limit in (constraints.max_bitops, max_bitops, np.inf) if limit is not None)
        if (
            all(
                bits in widths
                for name, bits in zip(NAMES, allocation, strict=True)
                for pattern, widths in constraints.bits_of  # type: ignore[misc]
                if fnmatchcase(name, pattern)
            )
            and (constraints.max_size is None or size_of(allocation) <= constraints.max_size)
            and evaluation.bitops <= most
            and not any(is_forbidden(each, allocation) for each in table.forbidden)
        ):
            found.append(allocation)
    return found


combinations = st.sets(st.integers(0, 3), min_size=1, max_size=3).flatmap(
    lambda places: st.tuples(*[st.sampled_from(WIDTHS)] * len(places)).map(
        lambda widths: Forbidden(tuple(sorted(places)), widths, "a sum might overflow")
    )
)
constraints = st.builds(
    Constraints,
    bits_of=st.lists(st.tuples(st.sampled_from(PATTERNS), st.sets(st.sampled_from(WIDTHS), min_size=1).map(tuple))),
    max_size=st.none() | st.integers(100, 700),
    max_bitops=st.none() | st.floats(1, 90),
)


@settings(max_examples=200, deadline=None)
@example(Constraints(max_bitops=10.0), [], None, 0)  # some allocations cost exactly that
@given(constraints, st.lists(combinations, max_size=3), st.none() | st.floats(1, 90), st.integers(0, 2**32 - 1))
def test_random_episodes_reach_what_is_permitted_and_nothing_else(
    wanted: Constraints, forbidden: list[Forbidden], max_bitops: float | None, seed: int
) -> None:
    table = Table(forbidden)
    allowed = permitted(wanted, table, max_bitops)
    reward = None if max_bitops is None else MaxBitOps(max_bitops)
    if not allowed:
        with pytest.raises(InputError, match=r"cannot be kept|leave no bit-width|can be executed"):
            EpisodeRules(table, reward=reward, constraints=wanted)
        return
    rules = EpisodeRules(table, reward=reward, constraints=wanted)
    random = np.random.default_rng(seed)
    episodes = Episodes(rules, np.zeros(200))
    while not episodes.finished:
        masks = episodes.masks()
        possible = [
            [any(each[: len(begun) + 1] == (*begun, bits) for each in allowed) for bits in WIDTHS]
            for begun in map(tuple, episodes.allocations.tolist())
        ]
        assert (masks == np.array(possible)).all()
        episodes.step(np.array(WIDTHS)[np.where(masks, random.random(masks.shape), -1).argmax(axis=1)])
    assert {tuple(row) for row in episodes.allocations.tolist()} <= set(allowed)
    every = list(itertools.product(WIDTHS, repeat=4))
    limits = rules.limits
    assert [row for row, kept in zip(every, limits.keeps(every), strict=True) if kept] == allowed
    assert {tuple(row) for row in limits.completed(every).tolist()} == set(allowed)
    assert {tuple(row) for row in limits.completed(every, random).tolist()} <= set(allowed)
    assert {*limits.uniform.values(), *limits.probes(), limits.highest, limits.lowest} <= set(allowed)
    assert not [row for row in allowed if row != limits.highest and (np.array(row) >= limits.highest).all()]


def test_uniform_allocations_take_the_nearest_bit_widths() -> None:
    limits = Limits(WIDTHS, ((8,), (1, 2), WIDTHS, (4, 8)))
    assert limits.uniform == {1: (8, 1, 1, 4), 2: (8, 2, 2, 4), 4: (8, 2, 4, 4), 8: (8, 2, 8, 8)}
    assert Limits(WIDTHS, ((8,), (8,))).uniform == {8: (8, 8)}


def test_allocations_are_completed_by_the_nearest_or_a_drawn_bit_width() -> None:
    limits = Limits(WIDTHS, ((1, 8), (2,)))
    assert limits.completed([(4, 8), (8, 2)]).tolist() == [[1, 2], [8, 2]]
    drawn = limits.completed([(4, 8)] * 50, np.random.default_rng(0)).tolist()
    assert {tuple(row) for row in drawn} == {(1, 2), (8, 2)}


def test_a_limit_on_the_size_costs_no_evaluation() -> None:
    table = Table()
    rules = EpisodeRules(table, constraints=Constraints(max_size=300))
    assert not table.calls
    assert rules.allows((8, 4, 8, 4))
    assert not rules.allows((8, 8, 8, 1))


def test_evaluators_that_do_not_know_sizes_are_asked_by_evaluations() -> None:
    class Evaluated(LookupTable):
        def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
            return [replace(e, size=size_of(e.allocation)) for e in super().evaluate(allocations)]

    table = Evaluated()
    rules = EpisodeRules(table, constraints=Constraints(max_size=300))
    assert table.calls == [10]  # the lowest, the highest, and each other bit-width of each component
    assert not rules.allows((2, 8, 2, 2))
    with pytest.raises(InputError, match="does not say how large its networks are"):
        EpisodeRules(LookupTable(), constraints=Constraints(max_size=300))


def test_sizes_that_do_not_add_up_are_refused() -> None:
    class Joint(Table):
        def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
            return [100 + allocation[0] * allocation[1] for allocation in allocations]

    with pytest.raises(InputError, match=r"a network of 164 bytes, though .* predicts 115"):
        EpisodeRules(Joint(), constraints=Constraints(max_size=300))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"bits_of": {"conv1.wieght": 8}},
            r"no component matches 'conv1.wieght': the components are conv1.input, .*; did you mean 'conv1.weight'\?",
        ),
        (
            {"bits_of": [("conv1.weight", 8), ("*.weight", (2, 4))]},
            r"conv1.weight=8 and \*.weight=2,4 leave no bit-width for component 'conv1.weight'",
        ),
        ({"max_size": 141}, r"a limit of 141 bytes cannot be kept: networks take 142 to 676 bytes"),
        (
            {"max_size": 300, "bits_of": {"*.weight": 8}},
            r"a limit of 300 bytes cannot be kept: networks of the given bit-widths take 422 to 676",
        ),
        ({"max_bitops": 8}, r"a limit of 8 bit operations cannot be kept: allocations take 9 .* to 72"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused_with_what_is_in_reach(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EpisodeRules(Table(), constraints=Constraints(**given))  # type: ignore[arg-type]


def test_bit_widths_that_do_not_exist_or_are_not_on_offer_are_refused() -> None:
    with pytest.raises(BitWidthError, match=r"'conv1.weight': .*9"):
        Constraints(bits_of={"conv1.weight": 9})
    with pytest.raises(BitWidthError, match=r"bit-width 3 of 'conv1.weight' is not among \(1, 2, 4, 8\)"):
        EpisodeRules(Table(), constraints=Constraints(bits_of={"conv1.weight": 3}))
    with pytest.raises(InputError, match="a limit of 0 bytes: it must be positive"):
        Constraints(max_size=0)


def test_components_without_a_pattern_have_the_bit_widths_of_all() -> None:
    limits = Constraints(bits_of={"conv1.input": 8}, bits=(2, 4)).resolve(Ledger(Table())).limits
    assert limits.allowed == ((8,), (2, 4), (2, 4), (2, 4))


def test_a_limit_on_bit_operations_goes_with_another_reward() -> None:
    table = Ledger(Table([Forbidden((1, 2), (8, 8), "a sum might overflow")]))
    wanted = Constraints(bits_of={"*.input": 4}, max_size=400, max_bitops=40.5)
    rules = EpisodeRules(table, reward=MaxDrop(0.01), constraints=wanted)
    assert rules.measured
    assert rules.cost.spent([[4, 4, 4, 4]])[0] == pytest.approx(36)
    assert rules.allows((4, 4, 8, 4))
    assert not rules.allows((4, 4, 8, 8))
    assert all(evaluation.allocation[0] == 4 for evaluation in table.evaluations.values())
