"""Plans of passes: every step once, and everything there when it is read."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.integer.passes import plan_passes
from mixq_rl.nn.step import IntegerStep


class Step(IntegerStep):
    def __init__(self, sources: tuple[int, ...], reads_neighbours: bool) -> None:
        self._sources, self._reads = sources, reads_neighbours

    @property
    def sources(self) -> tuple[int, ...]:
        return self._sources

    @property
    def reads_neighbours(self) -> bool:
        return self._reads


def row(*sources: int) -> Step:
    return Step(sources, reads_neighbours=False)


def sums(*sources: int) -> Step:
    return Step(sources, reads_neighbours=True)


@st.composite
def networks(draw: st.DrawFn) -> list[Step]:
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 9))):
        sources = draw(st.lists(st.integers(0, number), min_size=1, max_size=3, unique=True))
        steps.append(Step(tuple(sources), draw(st.booleans())))
    unread = [value for value in range(1, len(steps)) if all(value not in step.sources for step in steps)]
    return [*steps, row(len(steps), *unread)]


def executed(steps: Sequence[Step]) -> list[int]:
    """Follow a plan, and return how often a block of each step's result is computed."""
    counts, kept, last = [0] * (len(steps) + 1), set[int](), len(steps)
    for each in plan_passes(steps):
        block: set[int] = set()

        def compute(value: int, kept: set[int] = kept, block: set[int] = block) -> None:
            if value in kept or value in block:
                return
            if value:
                step = steps[value - 1]
                if step.reads_neighbours:
                    assert kept.issuperset(step.sources)
                else:
                    for source in step.sources:
                        compute(source)
                counts[value] += 1
            block.add(value)

        for value in each.computed:
            compute(value)
        kept = kept | set(each.computed) - {last}
        assert kept.issuperset(each.released)
        kept = kept - set(each.released)
    assert not kept
    return counts[1:]


@given(networks())
def test_every_step_is_executed_once(steps: list[Step]) -> None:
    assert executed(steps) == [1] * len(steps)


@pytest.mark.parametrize(
    ("steps", "computed", "released"),
    [
        pytest.param([row(0), sums(1), row(2), sums(3)], [(1,), (3,), (4,)], [(), (1,), (3,)], id="gcn"),
        pytest.param([sums(0), row(1), sums(2)], [(0,), (2,), (3,)], [(), (0,), (2,)], id="gin"),
        pytest.param([row(0), row(1)], [(2,)], [()], id="no neighbours"),
        pytest.param(
            [row(0), sums(1), row(0), row(2, 3), row(4), sums(5), row(4), row(6, 7)],
            [(1,), (5, 7), (8,)],
            [(), (1,), (5, 7)],
            id="sage: the product of a node itself is kept, not what it is made from",
        ),
        pytest.param(
            [row(0), sums(0), row(1, 2), sums(3), row(1, 4)],
            [(0, 1), (3,), (5,)],
            [(), (0,), (1, 3)],
            id="a product of the input that two passes take",
        ),
    ],
)
def test_plans(steps: list[Step], computed: list[tuple[int, ...]], released: list[tuple[int, ...]]) -> None:
    passes = plan_passes(steps)
    assert [each.computed for each in passes] == computed
    assert [each.released for each in passes] == released
