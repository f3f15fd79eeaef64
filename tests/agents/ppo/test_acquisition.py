from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.agents.pareto import hypervolume, pareto_front
from mixq_rl.agents.ppo.acquisition import choose, hypervolume_gain
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.envs import MaxDrop, TradeOff
from mixq_rl.evaluation.protocol import Evaluation
from tests.lookup_table import LookupTable

POINT = Evaluation((8,), 0.5, 1.0, 2.0, 1.0, 2.0)
points = st.tuples(st.floats(1.0, 40.0), st.floats(0.0, 1.0))


@settings(max_examples=100, deadline=None)
@given(st.lists(points, min_size=1, max_size=8), points)
def test_gain_is_the_difference_of_hypervolumes(found: list[tuple[float, float]], new: tuple[float, float]) -> None:
    evaluations = [replace(POINT, reduction=reduction, accuracy=accuracy) for reduction, accuracy in found]
    candidate = replace(POINT, reduction=new[0], accuracy=new[1])
    front = pareto_front(evaluations)
    (gain,) = hypervolume_gain(
        np.log2([point.reduction for point in front]),
        np.array([point.accuracy for point in front]) - 0.2,
        np.log2([candidate.reduction]),
        np.array([candidate.accuracy]) - 0.2,
    )
    assert abs(gain - (hypervolume([*evaluations, candidate], 0.2) - hypervolume(evaluations, 0.2))) < 1e-9


def test_takes_what_promises_most_and_nothing_twice() -> None:
    table = LookupTable()
    known = table.evaluate([(8, 8, 8, 8), (2, 8, 8, 8), (8, 2, 8, 8), (8, 8, 2, 8), (8, 8, 8, 2), (2, 2, 2, 2)])
    surrogate = Surrogate(table)
    surrogate.fit(known)
    candidates = [(8, 8, 4, 8), (2, 8, 2, 2), (8, 8, 8, 4), (4, 8, 8, 8), (8, 2, 4, 8)]

    def chosen(count: int, reward: TradeOff | MaxDrop) -> list[tuple[int, ...]]:
        random = np.random.default_rng(0)
        return choose(candidates, count, surrogate, known, reward, random, optimism=0.0, reference_accuracy=0.0)

    assert chosen(5, TradeOff()) == candidates
    assert len(set(chosen(3, TradeOff()))) == 3
    # By the probes the three cheap components cost no accuracy: together they save most.
    assert chosen(1, MaxDrop(0.01)) == [(2, 8, 2, 2)]
