"""Episodes: one class plays those of a user's loop and those of the agent."""

import gymnasium
import numpy as np
import pytest
from numpy.typing import ArrayLike

import mixq_rl.envs
from mixq_rl.agents import PPOAgent, PPOSettings
from mixq_rl.envs import BitAllocationEnv, EpisodeRules, Episodes, MaxBitOps
from mixq_rl.errors import InputError
from tests.lookup_table import LookupTable


def test_several_episodes_are_what_single_ones_are() -> None:
    table, draw = LookupTable(), np.random.default_rng(0)
    rules = EpisodeRules(table)
    preferences = draw.random(5)
    bits = draw.choice(table.bit_widths, size=(5, rules.num_components))
    together = Episodes(rules, preferences)
    alone = [Episodes(rules, preferences[index : index + 1]) for index in range(5)]
    for step in range(rules.num_components):
        assert together.step_index == step
        assert not together.finished
        assert (together.observe() == np.concatenate([episode.observe() for episode in alone])).all()
        assert (together.masks() == np.concatenate([episode.masks() for episode in alone])).all()
        together.step(bits[:, step])
        for index, episode in enumerate(alone):
            episode.step(bits[index : index + 1, step])
    assert together.finished
    evaluations = together.evaluate()
    assert evaluations == [evaluation for episode in alone for evaluation in episode.evaluate()]
    assert together.rewards(evaluations) == [episode.rewards(episode.evaluate())[0] for episode in alone]


def test_episodes_go_on_from_allocations_that_were_begun() -> None:
    rules = EpisodeRules(LookupTable())
    begun = np.array([[2, 8], [4, 4]])
    episodes, other = Episodes(rules, np.zeros(2), allocations=begun), Episodes(rules, np.zeros(2))
    other.step([2, 4])
    other.step([8, 4])
    assert (episodes.observe() == other.observe()).all()
    assert episodes.step_index == 2


def test_allowed_allocations_are_those_that_every_mask_allows() -> None:
    rules = EpisodeRules(LookupTable(), reward=MaxBitOps(24.5))
    assert rules.allows((2, 2, 2, 2))
    assert not rules.allows((8, 8, 8, 8))
    with pytest.raises(InputError, match="cannot be kept"):
        EpisodeRules(LookupTable(), reward=MaxBitOps(1.0))


def users_loop(evaluator: LookupTable, episodes: int) -> float:
    """A loop that a user might write, with random actions."""
    env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=evaluator, disable_env_checker=True)
    env.action_space.seed(0)
    best = -np.inf
    for episode in range(episodes):
        env.reset(seed=episode)
        terminated = False
        while not terminated:
            _, reward, terminated, _, _ = env.step(env.action_space.sample())
        best = max(best, float(reward))
    return best


def test_a_user_s_loop_and_the_agent_play_the_same_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []
    step = Episodes.step

    def counted(self: Episodes, bits: ArrayLike) -> None:
        played.append(len(self.preferences))
        step(self, bits)

    monkeypatch.setattr(mixq_rl.envs.Episodes, "step", counted)
    assert users_loop(LookupTable(), 3) > -np.inf
    components = len(LookupTable().components)
    assert played == [1] * 3 * components
    played.clear()
    settings = PPOSettings(rollout_episodes=8, rollouts=1, candidates=16)
    PPOAgent(BitAllocationEnv(LookupTable()), seed=0, settings=settings).learn(episodes=16)
    assert played.count(8) % components == 0  # model rollouts of PPO
    assert played.count(8) > 0
    assert played.count(16) > 0  # candidates
