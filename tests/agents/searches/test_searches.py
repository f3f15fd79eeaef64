import itertools
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl import Ledger
from mixq_rl.agents import SearchProblem, hypervolume, run_search
from mixq_rl.agents.searches import searches
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, UnknownNameError
from mixq_rl.evaluation.ledger import BudgetSpent
from mixq_rl.evaluation.store import EvaluationStore
from tests.lookup_table import LookupTable, PatchyTable

SEQUENTIAL = [name for name in searches if name not in ("uniform", "relaxed")]


def found_by(name: str, budget: int, seed: int = 0) -> list[tuple[int, ...]]:
    evaluator = Ledger(LookupTable(), budget=budget)
    run_search(name, SearchProblem(evaluator, seed))
    return list(evaluator.evaluations)


def test_all_are_registered() -> None:
    assert list(searches) == ["ppo", "uniform", "random", "greedy", "tpe", "nsga2", "relaxed"]
    with pytest.raises(UnknownNameError, match=r"unknown algorithm 'tep'.*did you mean 'tpe'"):
        run_search("tep", SearchProblem(Ledger(LookupTable(), budget=4)))


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_spends_its_budget_on_distinct_allocations_and_no_more(name: str) -> None:
    found = found_by(name, 12)
    assert len(found) == len(set(found)) == 12


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_finds_the_optimum_of_a_lookup_table(name: str) -> None:
    assert (2, 4, 2, 2) in found_by(name, 70)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_is_reproducible(name: str) -> None:
    assert found_by(name, 16, seed=3) == found_by(name, 16, seed=3)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_goes_on_without_what_cannot_be_evaluated(name: str) -> None:
    ledger = Ledger(PatchyTable((4, 8), (4, 4)), budget=18)
    run_search(name, SearchProblem(ledger))
    assert len(ledger.evaluations) == 18
    assert ledger.failures
    assert {allocation[:2] for allocation in ledger.failures} <= {(4, 8), (4, 4)}
    assert not ledger.evaluations.keys() & ledger.failures.keys()


def test_ppo_looks_elsewhere_if_all_first_allocations_fail() -> None:
    ledger = Ledger(PatchyTable((8, 8), (2, 8), (8, 2)), budget=8)
    run_search("ppo", SearchProblem(ledger))
    assert len(ledger.evaluations) == 8
    assert len(ledger.failures) >= 3


def test_seeds_make_a_difference() -> None:
    for name in ("ppo", "random", "tpe", "nsga2"):
        assert found_by(name, 16, seed=0) != found_by(name, 16, seed=1)


def test_uniform_is_one_bit_width_everywhere() -> None:
    assert found_by("uniform", 10) == [(2,) * 4, (4,) * 4, (8,) * 4]


def test_greedy_goes_down_step_by_step_where_it_costs_least() -> None:
    found = found_by("greedy", 81)
    assert found[:5] == [(8,) * 4, (4, 8, 8, 8), (8, 4, 8, 8), (8, 8, 4, 8), (8, 8, 8, 4)]
    # Halving the weight's bits costs nothing and saves most: that comes first.
    assert found[5:9] == [(4, 4, 8, 8), (8, 2, 8, 8), (8, 4, 4, 8), (8, 4, 8, 4)]
    assert found[-1] == (2, 2, 2, 2)


def test_relaxed_learns_from_the_network(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    before = {name: tensor.clone() for name, tensor in evaluator.model.state_dict().items()}
    required = [parameter.requires_grad for parameter in evaluator.model.parameters()]
    budgeted = Ledger(evaluator, budget=30)
    run_search("relaxed", SearchProblem(budgeted, 0, reference_accuracy=task.majority_accuracy("validation")))
    found = list(budgeted.evaluations.values())
    assert 3 <= len(found) <= 30
    uniform = evaluator.evaluate([(bits,) * 9 for bits in (2, 4, 8)])
    assert hypervolume(found) > 0.9 * hypervolume(uniform)
    assert len({evaluation.reduction for evaluation in found}) > 2
    after = evaluator.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert [parameter.requires_grad for parameter in evaluator.model.parameters()] == required
    assert not any(quantizer._forward_hooks for quantizer in evaluator.model.quantizers)
    with pytest.raises(InputError, match="needs an evaluator that holds one"):
        run_search("relaxed", SearchProblem(Ledger(LookupTable(), budget=4)))


def test_relaxed_follows_the_penalty(evaluator: mixq_rl.SupernetEvaluator) -> None:
    from mixq_rl.agents.searches.relaxed import _Mixture, _train

    budgeted = Ledger(evaluator)
    bits = []
    for penalty in (0.0, 1000.0):
        mixture = _Mixture(evaluator.model, SearchProblem(budgeted).limits, whole_graph=True)
        _train(mixture, evaluator, SearchProblem(budgeted), penalty, seed=0)
        bits.append(sum(mixture.winners()))
    assert bits[0] > bits[1]
    assert bits[1] <= 9 * 2 + 6


def test_relaxed_tries_penalties_ever_more_finely() -> None:
    from mixq_rl.agents.searches.relaxed import _penalties

    # The index with its binary digits behind the point, reversed.
    exponents = [sum(int(digit) / 2 ** (place + 1) for place, digit in enumerate(f"{i:b}"[::-1])) for i in range(64)]
    assert exponents[:6] == [0, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8]
    assert _penalties() == [1e-3 * (30 / 1e-3) ** exponent for exponent in exponents]


def test_relaxed_takes_graphs(graph_task: GraphTask) -> None:
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=1)
    evaluator = mixq_rl.PostTrainingEvaluator(model, graph_task)
    before = [buffer.clone() for buffer in evaluator.model.buffers()]
    budgeted = Ledger(evaluator, budget=2)
    run_search("relaxed", SearchProblem(budgeted))
    assert 1 <= len(budgeted.evaluations) <= 2
    assert all(map(torch.equal, evaluator.model.buffers(), before))  # the search normalises by batches, in a copy


def test_a_budget_counts_distinct_allocations_wherever_they_come_from(tmp_path: Path) -> None:
    table = LookupTable()
    store = EvaluationStore(tmp_path / "store.sqlite")
    space = list(itertools.product((2, 4, 8), repeat=4))
    Ledger(table, store=store).evaluate(space[:10])
    seen: list[int] = []
    budgeted = Ledger(table, store=store, budget=6)
    budgeted.watch(on_request=lambda made: seen.append(len(made)))
    budgeted.evaluate([space[0], space[0], space[1]])
    budgeted.evaluate([space[1]])
    assert budgeted.left == 4
    with pytest.raises(BudgetSpent):
        budgeted.evaluate(space[1:9])
    assert list(budgeted.evaluations) == space[:6]
    assert seen == [2, 4]
    assert len(budgeted.evaluate([space[3]])) == 1
    assert table.calls == [10]
    with pytest.raises(InputError, match="budget of 0 evaluations"):
        Ledger(table, budget=0)
