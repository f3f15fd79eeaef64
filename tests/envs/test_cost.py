from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixq_rl
from mixq_rl.envs import BitCost
from mixq_rl.envs.limits import Limits
from mixq_rl.errors import InputError
from tests.lookup_table import LookupTable


def test_measured_costs_predict_every_allocation(evaluator: mixq_rl.SupernetEvaluator) -> None:
    cost = BitCost.measured(evaluator)
    allocations = np.random.default_rng(0).choice(evaluator.bit_widths, size=(20, 9))
    executed = [evaluation.bitops for evaluation in evaluator.evaluate(allocations.tolist())]
    assert cost.spent(allocations) == pytest.approx(executed, rel=1e-12)
    assert min(executed) >= cost.cheapest * (1 - 1e-12)
    assert max(executed) <= cost.most_expensive * (1 + 1e-12)
    assert cost.shares.sum() == pytest.approx(1)


def test_measuring_takes_one_call() -> None:
    table = LookupTable()
    cost = BitCost.measured(table)
    assert table.calls == [7]
    assert cost == BitCost((1.0, 6.0, 1.0, 1.0), (2, 4, 8), 0.0)


def test_probes_tell_components_apart() -> None:
    found = Limits.none(3, (2, 4, 8)).probes()
    assert found == [(2, 2, 2), (4, 4, 4), (8, 8, 8), (2, 8, 8), (8, 2, 8), (8, 8, 2)]
    assert Limits.none(1, (2, 4, 8)).probes() == [(2,), (4,), (8,)]
    assert Limits.none(2, (8,)).probes() == [(8, 8)]


def test_costs_that_do_not_add_up_are_refused() -> None:
    class Rebate(LookupTable):
        def evaluate(self, allocations):  # type: ignore[no-untyped-def]
            return [replace(e, bitops=e.bitops - (set(e.allocation) == {2})) for e in super().evaluate(allocations)]

    class Curved(LookupTable):
        def evaluate(self, allocations):  # type: ignore[no-untyped-def]
            return [replace(e, bitops=e.bitops + 3 * e.allocation.count(4)) for e in super().evaluate(allocations)]

    with pytest.raises(InputError, match=r"4 bits everywhere cost 48 bit operations, though .* predicts 36"):
        BitCost.measured(Curved())
    with pytest.raises(InputError, match=r"2 bits everywhere cost 17 bit operations, though .* predicts 18"):
        BitCost.measured(Rebate())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=7),
    st.integers(0, 1000),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_whoever_follows_the_masks_keeps_the_limit(per_bit: list[int], fixed: int, level: float, seed: int) -> None:
    cost = BitCost(tuple(map(float, per_bit)), (1, 3, 8), float(fixed))
    limit = cost.cheapest + level * (cost.most_expensive - cost.cheapest)
    limits = Limits.none(len(per_bit), cost.bit_widths).within(cost.budget(limit))
    random = np.random.default_rng(seed)
    allocation: list[int] = []
    for _ in per_bit:
        (allowed,) = limits.masks([allocation])
        assert allowed[0]
        assert (np.diff(allowed.astype(int)) <= 0).all()
        allocation.append(int(random.choice(np.array(cost.bit_widths)[allowed])))
    assert cost.spent(allocation) <= limit
    if level == 1:
        wider = Limits.none(len(per_bit), cost.bit_widths).within(cost.budget(limit * (1 + 1e-6)))
        assert wider.masks([allocation[:-1]]).all()
