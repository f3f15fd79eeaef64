from dataclasses import replace

import numpy as np
import pytest

import mixq_rl
from mixq_rl.envs import FEATURES, BitCost, LayerStatistics, MaxBitOps, MaxDrop, Reward, TradeOff
from mixq_rl.evaluation.protocol import Evaluator
from tests.lookup_table import LookupTable


def observed(
    evaluator: Evaluator, allocation: tuple[int, ...], preference: float = 0.0, reward: Reward | None = None
) -> dict[str, float]:
    cost = BitCost.estimated(evaluator.components, evaluator.bit_widths)
    observe = LayerStatistics(evaluator, cost, reward or TradeOff())
    (row,) = observe([allocation], [preference])
    assert row.dtype == np.float32
    assert bool((row >= observe.low).all() and (row <= observe.high).all())
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_says_which_component_comes_next(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for done, component in enumerate(evaluator.components):
        seen = observed(evaluator, (2,) * done, 0.3)
        assert seen[f"kind_{component.kind}"] == 1
        assert sum(value for name, value in seen.items() if name.startswith("kind_")) == 1
        assert seen["position"] == pytest.approx(done / 8)
        assert seen["layer"] == component.layer
        assert seen["preference"] == pytest.approx(0.3)
        assert (seen["parameters_share"] > 0) == (component.kind == "weight")


def test_says_how_well_the_whole_network_can_be_quantized(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for bits in (1, 2, 4, 8):
        ratios = [component.statistics[f"sqnr_{bits}"] for component in evaluator.components]
        assert observed(evaluator, ())[f"mean_sqnr_{bits}"] == pytest.approx(np.mean(ratios) / 100, abs=1e-6)


def test_remembers_what_was_chosen() -> None:
    table = LookupTable()
    fresh = observed(table, ())
    assert [fresh[name] for name in ("previous_bits", "mean_bits", "bitops_spent", "bitops_left")] == [0, 0, 0, 1]
    seen = observed(table, (2, 8))
    assert (seen["previous_bits"], seen["bits_before_previous"]) == (1, 0.25)
    assert seen["mean_bits"] == pytest.approx(5 / 8)
    # Of four components with equal costs one has all that bits can add, the other nothing; two are left.
    assert seen["bitops_spent"] == pytest.approx(1 / 4)
    assert seen["bitops_left"] == pytest.approx(1 / 2)


def test_says_what_is_wanted() -> None:
    table = LookupTable()
    free = observed(table, (8,), 0.7)
    assert (free["headroom"], free["target_reduction"], free["tolerated_drop"]) == (1, 0, 0)
    assert observed(table, (), reward=MaxDrop(0.003))["tolerated_drop"] == pytest.approx(0.03)
    limit = MaxBitOps(36.0)
    cost = BitCost.measured(table)
    observe = LayerStatistics(table, cost, limit)
    rows = observe([(2,), (8,)], [0.0, 0.0])
    headroom = rows[:, FEATURES.index("headroom")]
    # 36 of 18 ... 72 leave a third of what bits can add; the first component's highest bits take a ninth.
    assert headroom == pytest.approx([1 / 3, 1 / 3 - 1 / 9])
    assert rows[0, FEATURES.index("target_reduction")] == pytest.approx(np.log2(288 / 36) / 5)


def test_knows_the_graph(evaluator: mixq_rl.SupernetEvaluator) -> None:
    seen = observed(evaluator, ())
    assert seen["nodes"] == pytest.approx(np.log1p(150) / np.log(1e9))
    assert 0 < seen["mean_degree"] < 1
    assert observed(LookupTable(), ())["nodes"] == 0


def test_shares_do_not_depend_on_the_size(evaluator: mixq_rl.SupernetEvaluator) -> None:
    class Larger(LookupTable):
        def __init__(self) -> None:
            super().__init__()
            self.components = tuple(replace(component, macs=1000 * component.macs) for component in self.components)

    assert observed(LookupTable(), (2, 4)) == observed(Larger(), (2, 4))


def test_episodes_side_by_side_are_those_one_by_one(evaluator: mixq_rl.SupernetEvaluator) -> None:
    observe = LayerStatistics(evaluator, BitCost.estimated(evaluator.components, (2, 4, 8)), TradeOff())
    states = [(2, 4, 8), (8, 8, 2), (4, 4, 4)]
    together = observe(states, [0.0, 0.5, 1.0])
    alone = [observe([state], [preference])[0] for state, preference in zip(states, (0.0, 0.5, 1.0), strict=True)]
    assert (together == np.stack(alone)).all()


def test_states_of_different_components_differ(evaluator: mixq_rl.SupernetEvaluator) -> None:
    observe = LayerStatistics(evaluator, BitCost.estimated(evaluator.components, (2, 4, 8)), TradeOff())
    assert len({observe([(4,) * done], [0.5]).tobytes() for done in range(9)}) == 9
