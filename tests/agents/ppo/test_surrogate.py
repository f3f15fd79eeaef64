import itertools

import numpy as np
import pytest

import mixq_rl
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.envs import BitAllocationEnv, Episodes
from mixq_rl.envs.limits import Limits
from mixq_rl.evaluation.protocol import Evaluator
from tests.lookup_table import LookupTable


def test_costs_that_add_up_are_known_from_the_probes(evaluator: mixq_rl.SupernetEvaluator) -> None:
    surrogate = Surrogate(evaluator)
    surrogate.fit(evaluator.evaluate(Limits.none(9, (2, 4, 8)).probes()))
    allocations = np.random.default_rng(0).choice((2, 4, 8), size=(30, 9)).tolist()
    for expected, executed in zip(surrogate.evaluate(allocations), evaluator.evaluate(allocations), strict=True):
        assert expected.allocation == executed.allocation
        assert expected.reduction == pytest.approx(executed.reduction, rel=1e-3)
        assert expected.bitops == pytest.approx(executed.bitops, rel=1e-3)


def test_accuracy_is_predicted_from_some_of_the_allocations() -> None:
    table = LookupTable()
    surrogate = Surrogate(table)
    assert isinstance(surrogate, Evaluator)
    assert not surrogate.fitted
    space = list(itertools.product((2, 4, 8), repeat=4))
    random = np.random.default_rng(0).permutation(len(space))
    surrogate.fit(table.evaluate([space[index] for index in random[:40]]))
    assert surrogate.fitted
    rest = [space[index] for index in random[40:]]
    mean, deviation = surrogate.predict(rest)
    truth = np.array([evaluation.accuracy for evaluation in table.evaluate(rest)])
    assert np.abs(mean - truth).max() < 0.01
    assert (deviation > 0).all()


def test_many_evaluations_are_thinned(evaluator: mixq_rl.SupernetEvaluator) -> None:
    allocations = np.random.default_rng(0).choice((2, 4, 8), size=(900, 9))
    evaluations = evaluator.evaluate(np.unique(allocations, axis=0).tolist())
    surrogate = Surrogate(evaluator)
    surrogate.fit(evaluations)
    mean, _ = surrogate.predict([e.allocation for e in evaluations])
    truth = np.array([e.accuracy for e in evaluations])
    assert np.corrcoef(mean, truth)[0, 1] > 0.8


def test_allocations_that_were_executed_keep_their_evaluations() -> None:
    table = LookupTable()
    surrogate = Surrogate(table)
    made = table.evaluate(Limits.none(4, (2, 4, 8)).probes())
    surrogate.fit(made)
    other = (2, 4, 8, 2)
    *known, predicted = surrogate.evaluate([*(evaluation.allocation for evaluation in made), other])
    assert known == made
    assert predicted.allocation == other
    assert predicted != table.evaluate([other])[0]


def test_model_rollouts_are_paid_by_evaluations_where_there_are_any() -> None:
    """What PPO learns from: exact rewards of executed allocations, predicted rewards of the others."""
    env = BitAllocationEnv(LookupTable(), preference=0.5)
    surrogate = Surrogate(env.evaluator)
    made = env.evaluator.evaluate([(2, 2, 2, 2), (8, 8, 8, 8), (4, 4, 4, 4), (2, 8, 4, 2)])
    surrogate.fit(made)
    allocations = np.array([*(evaluation.allocation for evaluation in made), (8, 2, 2, 4)])
    rollouts = Episodes(env.rules, np.full(5, 0.5), evaluator=surrogate, allocations=allocations)
    executed = Episodes(env.rules, np.full(5, 0.5), allocations=allocations)
    paid, true = (played.rewards(played.evaluate()) for played in (rollouts, executed))
    assert paid[:4] == true[:4]
    assert paid[4] != true[4]
