from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sb3_contrib.common.maskable.utils import is_masking_supported

import mixq_rl
from mixq_rl.agents.ppo.proposals import spread_preferences
from mixq_rl.agents.ppo.vectorized import VectorizedBitAllocation
from mixq_rl.envs import FEATURES, BitAllocationEnv, MaxBitOps, MaxDrop
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation
from tests.lookup_table import LookupTable


def test_episodes_are_those_of_the_environment(evaluator: mixq_rl.SupernetEvaluator) -> None:
    env = BitAllocationEnv(evaluator)
    vector = VectorizedBitAllocation([env], 3, seed=1)
    random = np.random.default_rng(0)
    observations = vector.reset()
    actions = random.integers(3, size=(9, 3))
    seen, paid, infos = [observations], [], []
    for step in actions:
        observations, rewards, dones, infos = vector.step(2 ** (step + 1) - 1)
        seen.append(
            np.stack([info.get("terminal_observation", o) for info, o in zip(infos, observations, strict=True)])
        )
        paid.append(rewards)
    assert dones.all()
    for index, info in enumerate(infos):
        observation, _ = env.reset(options={"preference": info["preference"]})
        assert (observation == seen[0][index]).all()
        for place in range(9):
            observation, reward, terminated, _, found = env.step(actions[place, index])
            assert (observation == seen[place + 1][index]).all()
            assert reward == pytest.approx(paid[place][index], rel=1e-6)
        assert terminated
        assert found["evaluation"] == info["evaluation"]


def test_finished_episodes_are_evaluated_in_one_call() -> None:
    table = LookupTable()
    env = BitAllocationEnv(table)
    vector = VectorizedBitAllocation([env], 5)
    vector.reset()
    for step in ([1] * 5, [1, 3, 7, 1, 3], [1] * 5, [7] * 5):
        observations, _, dones, infos = vector.step(np.array(step))
    assert table.calls == [3]
    assert dones.all()
    assert len(infos) == 5
    preferences = observations[:, FEATURES.index("preference")]
    assert (observations == env.rules.observe(np.zeros((5, 0)), preferences)).all()
    assert len(set(preferences)) == 5


def test_preferences_are_spread_evenly() -> None:
    env = BitAllocationEnv(LookupTable())
    drawn = np.sort(spread_preferences(env.reward, 10, np.random.default_rng(0)))
    assert (np.floor(drawn * 10) == np.arange(10)).all()
    assert spread_preferences(MaxDrop(0.01), 3, np.random.default_rng(0)).tolist() == [1, 1, 1]


def test_masks_are_those_of_the_environment() -> None:
    env = BitAllocationEnv(LookupTable(), reward=MaxBitOps(20.5))
    vector = VectorizedBitAllocation([env], 2)
    assert is_masking_supported(vector)
    vector.reset()
    assert [np.flatnonzero(mask).tolist() for mask in vector.action_masks()] == [[1, 3]] * 2
    vector.step(np.array([1, 3]))
    assert np.flatnonzero(vector.env_method("action_masks")[1]).tolist() == [1]
    assert vector.get_attr("spec", 0) == [None]
    with pytest.raises(AttributeError, match="share one environment"):
        vector.set_attr("reward", None)


def test_every_environment_is_played_as_often_as_another() -> None:
    class Short(LookupTable):
        bit_widths = (1, 6)

        def __init__(self) -> None:
            super().__init__()
            self.components = self.components[:2]

        def _evaluate(self, allocation: tuple[int, ...]) -> Evaluation:
            return replace(self.reference, allocation=allocation, reduction=8.0)

    tables = [LookupTable(), Short(), LookupTable()]
    vector = VectorizedBitAllocation([BitAllocationEnv(table) for table in tables], 7, seed=0)
    vector.reset()
    played: Counter[int] = Counter()
    random = np.random.default_rng(0)
    for _ in range(60):
        masks = vector.action_masks()
        assert set(masks.sum(axis=1)) <= {2, 3}
        _, rewards, dones, infos = vector.step(np.array([random.choice(np.flatnonzero(mask)) for mask in masks]))
        played.update(len(infos[index]["evaluation"].allocation) for index in np.flatnonzero(dones))
        assert (rewards[~dones] == 0).all()
    assert 0.4 < played[2] / played[4] < 0.6
    with pytest.raises(InputError, match="2 episodes side by side for 3 environments"):
        VectorizedBitAllocation([BitAllocationEnv(table) for table in tables], 2)
