import numpy as np
import pytest
from sb3_contrib.common.maskable.utils import is_masking_supported

import mixq_rl
from mixq_rl.agents.vectorized import VectorizedBitAllocation, spread_preferences
from mixq_rl.envs import BitAllocationEnv, MaxBitOps, MaxDrop
from tests.lookup_table import LookupTable


def test_episodes_are_those_of_the_environment(evaluator: mixq_rl.SupernetEvaluator) -> None:
    env = BitAllocationEnv(evaluator)
    vector = VectorizedBitAllocation(env, 3, seed=1)
    random = np.random.default_rng(0)
    observations = vector.reset()
    actions = random.integers(3, size=(9, 3))
    seen, paid, infos = [observations], [], []
    for step in actions:
        observations, rewards, dones, infos = vector.step(step)
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
    vector = VectorizedBitAllocation(BitAllocationEnv(table), 5)
    vector.reset()
    for step in ([0] * 5, [0, 1, 2, 0, 1], [0] * 5, [2] * 5):
        observations, _, dones, infos = vector.step(np.array(step))
    assert table.calls == [3]
    assert dones.all()
    assert len(infos) == 5
    assert (observations[:, :] == vector._env.observe(np.zeros((5, 0)), vector._preferences)).all()


def test_preferences_are_spread_evenly() -> None:
    env = BitAllocationEnv(LookupTable())
    drawn = np.sort(spread_preferences(env, 10, np.random.default_rng(0)))
    assert (np.floor(drawn * 10) == np.arange(10)).all()
    fixed = BitAllocationEnv(LookupTable(), reward=MaxDrop(0.01))
    assert spread_preferences(fixed, 3, np.random.default_rng(0)).tolist() == [1, 1, 1]


def test_masks_are_those_of_the_environment() -> None:
    env = BitAllocationEnv(LookupTable(), reward=MaxBitOps(20.5))
    vector = VectorizedBitAllocation(env, 2)
    assert is_masking_supported(vector)
    vector.reset()
    assert vector.action_masks().tolist() == [[True, True, False]] * 2
    vector.step(np.array([0, 1]))
    assert vector.env_method("action_masks")[1].tolist() == [True, False, False]
    assert vector.get_attr("spec", 0) == [None]
    with pytest.raises(AttributeError, match="share one environment"):
        vector.set_attr("reward", None)
