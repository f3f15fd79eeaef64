import copy
import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.utils.env_checker import check_env
from sb3_contrib import TRPO

import mixq_rl
from mixq_rl.envs import BitAllocationEnv, BitCost, MaxBitOps, MaxDrop, Reward
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from tests.lookup_table import LookupTable


@pytest.fixture
def env(evaluator: mixq_rl.SupernetEvaluator) -> BitAllocationEnv:
    return BitAllocationEnv(evaluator, render_mode="ansi")


def test_is_registered(evaluator: mixq_rl.SupernetEvaluator) -> None:
    env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=evaluator)
    assert isinstance(env.unwrapped, BitAllocationEnv)
    assert env.spec is not None


def test_both_checkers_pass_without_a_warning(evaluator: mixq_rl.SupernetEvaluator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in (None, "ansi"):
            env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=evaluator, render_mode=mode)
            check_env(env.unwrapped)
            stable_baselines3.common.env_checker.check_env(env.unwrapped)
            stable_baselines3.common.env_checker.check_env(env)


def test_an_episode_walks_the_components_and_pays_at_the_end(
    env: BitAllocationEnv, evaluator: mixq_rl.SupernetEvaluator
) -> None:
    _, info = env.reset(seed=0, options={"preference": 1.0})
    assert info == {"preference": 1.0}
    actions = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for action in actions[:-1]:
        _, reward, terminated, truncated, info = env.step(np.int64(action))
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert "evaluation" not in info
    _, reward, terminated, truncated, info = env.step(actions[-1])
    assert (terminated, truncated) == (True, False)
    assert env.allocation == (2, 4, 8, 2, 4, 8, 2, 4, 8)
    assert info["evaluation"].allocation == env.allocation
    (expected,) = evaluator.evaluate([env.allocation])
    assert info["evaluation"].accuracy == expected.accuracy
    assert reward == pytest.approx(np.log2(expected.reduction) / 4)


def test_preferences_are_drawn_from_the_seed(evaluator: mixq_rl.SupernetEvaluator) -> None:
    def drawn(seed: int) -> list[float]:
        env = BitAllocationEnv(evaluator)
        return [env.reset(seed=seed)[1]["preference"], env.reset()[1]["preference"]]

    assert drawn(1) == drawn(1) != drawn(2)
    fixed = BitAllocationEnv(evaluator, preference=0.25)
    assert [fixed.reset()[1]["preference"] for _ in range(2)] == [0.25, 0.25]


def test_renders_components_and_bits(env: BitAllocationEnv) -> None:
    env.reset(seed=0)
    env.step(2)
    text = env.render()
    assert text is not None
    lines = text.splitlines()
    assert lines[0].split() == ["component", "bits"]
    assert lines[1].split() == ["conv1.input", "8"]
    assert lines[2].split() == ["conv1.weight", "."]
    assert len(lines) == 10


def test_evaluations_are_remembered(env: BitAllocationEnv) -> None:
    for _ in range(2):
        env.reset(seed=0)
        for _ in range(9):
            env.step(0)
    assert len(env.evaluator.evaluations) == 1
    assert env.evaluator.hits == 1


def test_evaluators_that_cannot_be_observed_are_refused(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for statistics in ({}, {**evaluator.components[0].statistics, "mean": float("nan")}):
        odd = copy.copy(evaluator)
        odd.components = (replace(evaluator.components[0], statistics=statistics),)
        with pytest.raises(InputError, match=r"component 'conv1.input': statistics mean.* are missing or not finite"):
            BitAllocationEnv(odd)
    odd = copy.copy(evaluator)
    odd.bit_widths = (4, 16)
    with pytest.raises(InputError, match="bit-width 16 is outside"):
        BitAllocationEnv(odd)


def test_misuse_is_refused(env: BitAllocationEnv, evaluator: mixq_rl.SupernetEvaluator) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded, match="no episode is under way"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(
        gymnasium.error.InvalidAction, match=r"action 3 is not an index into the bit-widths \(2, 4, 8\)"
    ):
        env.step(3)
    for _ in range(9):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(0)
    with pytest.raises(InputError, match=r"preference 1.5 is outside \[0, 1\]"):
        env.reset(options={"preference": 1.5})
    with pytest.raises(InputError, match="preference -1"):
        BitAllocationEnv(evaluator, preference=-1)
    with pytest.raises(InputError, match="render mode 'human' is not among"):
        BitAllocationEnv(evaluator, render_mode="human")
    empty = copy.copy(evaluator)
    empty.components = ()
    with pytest.raises(InputError, match="no components"):
        BitAllocationEnv(empty)


def test_no_episode_exceeds_a_limit(evaluator: mixq_rl.SupernetEvaluator) -> None:
    cost, random = BitCost.measured(evaluator), np.random.default_rng(0)
    levels = np.concatenate([[1e-9, 1e-6, 1e-3], np.linspace(0.01, 1, 22)])
    for level in levels:
        limit = cost.cheapest + level * (cost.most_expensive - cost.cheapest)
        env = BitAllocationEnv(evaluator, reward=MaxBitOps(limit))
        for _ in range(8):
            env.reset()
            terminated = False
            while not terminated:
                _, reward, terminated, _, info = env.step(random.choice(env.action_masks().nonzero()[0]))
            assert info["evaluation"].bitops <= limit
            assert info["preference"] == 0
            assert reward == pytest.approx((info["evaluation"].merit - evaluator.reference.accuracy) / 0.1)


def test_actions_that_would_exceed_the_limit_are_refused() -> None:
    env = BitAllocationEnv(LookupTable(), reward=MaxBitOps(20.5))
    env.reset()
    assert env.action_masks().tolist() == [True, True, False]
    with pytest.raises(
        gymnasium.error.InvalidAction, match=r"8 bits for 'conv1.input' would break the limits, which leave 2"
    ):
        env.step(2)
    env.step(1)
    assert env.action_masks().tolist() == [True, False, False]


def test_limits_out_of_reach_are_refused_with_what_is_in_reach() -> None:
    with pytest.raises(InputError, match=r"limit of 17 .* take 18 \(16× fewer than float32\) to 72 \(4×\)"):
        BitAllocationEnv(LookupTable(), reward=MaxBitOps(17.0))
    env = BitAllocationEnv(LookupTable(), reward=MaxBitOps(18.0))
    env.reset()
    assert env.action_masks().tolist() == [True, False, False]


def test_a_reward_that_knows_one_preference_sets_it() -> None:
    assert BitAllocationEnv(LookupTable(), reward=MaxDrop(0.01)).reset()[1] == {"preference": 1.0}


def test_observation_and_reward_can_be_replaced() -> None:
    class Position:
        low, high = np.zeros(1, dtype=np.float32), np.full(1, 4, dtype=np.float32)

        def __init__(self, evaluator: Evaluator, cost: BitCost, reward: Reward) -> None: ...

        def __call__(self, allocations, preferences):  # type: ignore[no-untyped-def]
            return np.full((len(preferences), 1), np.asarray(allocations).shape[1], dtype=np.float32)

    class Bits(Reward):
        def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
            return float(sum(evaluation.allocation))

    env = BitAllocationEnv(LookupTable(), observation=Position, reward=Bits())
    assert env.reset()[0].tolist() == [0]
    rewards = [env.step(2)[:2] for _ in range(4)]
    assert [(observation.tolist(), reward) for observation, reward in rewards] == [
        ([1], 0),
        ([2], 0),
        ([3], 0),
        ([4], 32),
    ]
    check_env(BitAllocationEnv(LookupTable(), observation=Position), skip_render_check=True)


def test_an_algorithm_of_another_package_learns_on_it() -> None:
    table = LookupTable()
    env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=table, preference=0.5)
    agent = TRPO("MlpPolicy", env, n_steps=256, learning_rate=1e-2, gamma=1.0, gae_lambda=1.0, seed=0, device="cpu")
    agent.learn(256 * 12)
    observation, _ = env.reset()
    terminated = False
    while not terminated:
        observation, _, terminated, _, info = env.step(agent.predict(observation, deterministic=True)[0])
    assert info["evaluation"].allocation == (2, 4, 2, 2)
