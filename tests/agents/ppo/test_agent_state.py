"""An agent that goes on from a checkpoint does what it would have done without it."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mixq_rl.agents import PPOAgent, PPOSettings
from mixq_rl.agents.ppo import surrogate
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.agents.records.checkpoints import Checkpoints
from mixq_rl.envs import BitAllocationEnv, MaxBitOps, Reward, TradeOff
from mixq_rl.errors import ArtifactError
from tests.agents.ppo.tables import OtherTable
from tests.lookup_table import LookupTable


class Stopped(Exception):  # noqa: N818  not an error of the agent's
    """Stands for a process that ends."""


def learn_with_breaks(envs: list[BitAllocationEnv], folder: Path, *, breaks: bool, **options: Any) -> PPOAgent:
    """Learn 40 episodes of each environment; with breaks, each step of the search in an agent of its own."""
    checkpoints = Checkpoints(folder)
    agent = PPOAgent(envs, **options)

    def keep() -> None:
        checkpoints.save(sum(len(env.evaluator.evaluations) for env in envs), agent.state_dict())
        if breaks:
            raise Stopped

    episodes: int | None = 40
    while True:
        try:
            return agent.learn(episodes, checkpoint=keep)
        except Stopped:
            kept = checkpoints.latest()
            assert kept is not None
            envs[:] = [BitAllocationEnv(env.evaluator.evaluator, reward=env.reward) for env in envs]
            agent = PPOAgent(envs, **options).load_state_dict(kept[1])
            episodes = None


@pytest.mark.parametrize("reward", [TradeOff(), pytest.param(MaxBitOps(60.0), marks=pytest.mark.slow)])
def test_goes_on_from_a_checkpoint_as_if_it_had_not_been_interrupted(tmp_path: Path, reward: Reward) -> None:
    found, policies = [], []
    for breaks in (False, True):
        envs = [BitAllocationEnv(LookupTable(), reward=reward)]
        agent = learn_with_breaks(envs, tmp_path / str(breaks), breaks=breaks, seed=3)
        found.append(list(envs[0].evaluator.evaluations))
        agent.save(tmp_path / f"policy-{breaks}")
        policies.append(load_file(tmp_path / f"policy-{breaks}" / "policy.safetensors"))
    assert found[0] == found[1]
    assert all(torch.equal(tensor, policies[1][name]) for name, tensor in policies[0].items())


@pytest.mark.slow
def test_goes_on_with_several_tasks_in_the_middle_of_episodes(tmp_path: Path) -> None:
    found, policies = [], []
    for breaks in (False, True):
        envs = [BitAllocationEnv(table) for table in (LookupTable(), OtherTable())]
        agent = learn_with_breaks(envs, tmp_path / str(breaks), breaks=breaks, seed=3)
        agent.clone_best()
        found.append([list(env.evaluator.evaluations) for env in envs])
        policies.append([agent.allocate(env.evaluator, preference=w) for env in envs for w in (0.1, 0.5, 0.9)])
    assert found[0] == found[1]
    assert [len(known) for known in found[0]] == [40, 8]
    assert policies[0] == policies[1]


def test_a_surrogate_that_leaves_observations_out_goes_on_with_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogate, "_MOST_POINTS", 10)
    table = LookupTable()
    evaluations = table.evaluate(list(itertools.product((2, 4, 8), repeat=4)))
    one, other = Surrogate(table), Surrogate(table)
    one.fit(evaluations[:30])
    other.load_state_dict(one.state_dict(), evaluations[:30])
    for known in (evaluations[:30], evaluations[:60]):
        allocations = [evaluation.allocation for evaluation in evaluations]
        assert one.evaluate(allocations) == other.evaluate(allocations)
        one.fit(known)
        other.fit(known)


def test_the_state_of_another_agent_is_refused() -> None:
    state = PPOAgent(BitAllocationEnv(LookupTable())).state_dict()
    with pytest.raises(ArtifactError, match="the state is not one of this agent"):
        PPOAgent(BitAllocationEnv(OtherTable())).load_state_dict({**state, "explorers": []})
    with pytest.raises(ArtifactError, match="the state is not one of this agent"):
        PPOAgent(BitAllocationEnv(LookupTable()), settings=PPOSettings(widths=(8,))).load_state_dict(state)
