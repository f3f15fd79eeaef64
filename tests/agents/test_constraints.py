"""Searches, policies and runs keep the constraints of a user, on a lookup table and on a network."""

import pytest

import mixq_rl
from mixq_rl import Ledger
from mixq_rl.agents import PPOAgent, SearchProblem, run_search
from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.searches import searches
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import BitAllocationEnv, Constraints, EpisodeRules, TradeOff
from mixq_rl.evaluation.protocol import Forbidden
from tests.envs.test_limits import Table, permitted

WANTED = Constraints(bits_of={"conv1.input": (2, 8), "*.message": 4}, max_size=400)
FORBIDDEN = Forbidden((1, 3), (4, 8), "a sum might overflow")


def network_constraints(evaluator: mixq_rl.SupernetEvaluator) -> Constraints:
    smallest, largest = evaluator.sizes([[2] * 9, [8] * 9])
    return Constraints(
        bits_of={"conv1.weight": (4, 8), "conv*.adjacency": (4, 8), "conv2.message": 8},
        max_size=(smallest + largest) // 2,
    )


@pytest.mark.parametrize("name", [name for name in searches if name != "relaxed"])
def test_searches_keep_the_limits_of_a_table(name: str) -> None:
    table = Table([FORBIDDEN])
    ledger = Ledger(table, budget=24)
    run_search(name, SearchProblem(ledger, constraints=WANTED))
    allowed = permitted(WANTED, table)
    assert len(allowed) == 20
    assert set(ledger.evaluations) <= set(allowed)
    assert len(ledger.evaluations) >= (3 if name == "uniform" else 7)


@pytest.mark.parametrize("name", list(searches))
def test_searches_keep_the_limits_of_a_network(name: str, evaluator: mixq_rl.SupernetEvaluator) -> None:
    wanted = network_constraints(evaluator)
    ledger = Ledger(evaluator, budget=14)
    run_search(name, SearchProblem(ledger, constraints=wanted))
    assert ledger.evaluations
    limits = EpisodeRules(Ledger(evaluator), constraints=wanted).limits
    for allocation, evaluation in ledger.evaluations.items():
        assert limits.keeps([allocation])[0]
        assert evaluation.size <= wanted.max_size  # type: ignore[operator]
        assert allocation[1] in (4, 8)
        assert allocation[6] == 8


def test_a_search_of_few_allocations_ends() -> None:
    ledger = Ledger(Table(), budget=64)
    run_search("random", SearchProblem(ledger, constraints=Constraints(bits_of={"*": 4, "*.weight": 4})))
    assert list(ledger.evaluations) == [(4, 4, 4, 4)]


def test_policies_are_masked(evaluator: mixq_rl.SupernetEvaluator) -> None:
    wanted = network_constraints(evaluator)
    agent, limits = pretrained(), EpisodeRules(evaluator, constraints=wanted).limits
    chosen = [agent.allocate(evaluator, w, constraints=wanted) for w in (0.0, 0.3, 1.0)]
    swept = agent.sweep(evaluator, reward=TradeOff(), constraints=wanted)
    assert limits.keeps([*chosen, *swept]).all()
    assert not limits.keeps([agent.allocate(evaluator, 0.0)])[0]


@pytest.mark.slow
def test_an_agent_allocates_within_the_constraints_that_it_learned_with() -> None:
    table = Table([FORBIDDEN])
    env = BitAllocationEnv(table, constraints=WANTED)
    agent = PPOAgent(env, seed=0).learn(10)
    allowed = set(permitted(WANTED, table))
    assert set(env.evaluator.evaluations) <= allowed
    assert {agent.allocate(table, w) for w in (0.0, 0.5, 1.0)} <= allowed
    assert set(agent.clone_best().sweep(table)) <= allowed


@pytest.mark.parametrize("max_drop", [None, 0.0, 100.0])
def test_allocate_keeps_the_constraints(
    max_drop: float | None, task: GraphTask, float_model: mixq_rl.QuantizableModel, evaluator: mixq_rl.SupernetEvaluator
) -> None:
    wanted = network_constraints(evaluator)
    chosen = mixq_rl.allocate(float_model, task, max_drop=max_drop, constraints=wanted)
    assert EpisodeRules(evaluator, constraints=wanted).allows(chosen)
