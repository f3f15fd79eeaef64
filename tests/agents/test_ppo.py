import json
from collections.abc import Sequence
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mixq_rl
from mixq_rl.agents import PPOAgent
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import ArtifactError, BitWidthError, InputError
from mixq_rl.evaluation import Evaluation
from mixq_rl.nn import STATISTICS, Component


class LookupTable:
    """An evaluator without a network: the weight costs most, and only there do 2 bits cost accuracy."""

    bit_widths = (2, 4, 8)
    reference = Evaluation((32, 32, 32, 32), 0.8, 288.0, 1.0, 4096.0, 1.0)

    def __init__(self) -> None:
        statistics = dict.fromkeys(STATISTICS, 0.1)
        kinds = ("input", "weight", "message", "aggregate")
        self.components = tuple(Component(f"conv1.{kind}", kind, 0, (4, 4), 10, statistics) for kind in kinds)

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        return [self._evaluate(tuple(allocation)) for allocation in allocations]

    def _evaluate(self, allocation: tuple[int, ...]) -> Evaluation:
        accuracy = 0.8 - (0.04 if allocation[1] == 2 else 0.0)
        bitops = float(sum(allocation) + 5 * allocation[1])
        return Evaluation(allocation, accuracy, bitops, self.reference.bitops / bitops, 1.0, 4096.0)


@pytest.fixture(scope="module")
def agent() -> PPOAgent:
    env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=LookupTable())
    return PPOAgent(env, seed=0).learn(episodes=960)


def test_learns_the_optimum_of_a_lookup_table(agent: PPOAgent) -> None:
    assert agent.allocate(LookupTable(), preference=0.5) == (2, 4, 2, 2)


def test_preference_moves_the_allocation(agent: PPOAgent) -> None:
    table = LookupTable()
    accurate, cheap = (table.evaluate([agent.allocate(table, preference=w)])[0] for w in (0.0, 1.0))
    assert cheap.allocation == (2, 2, 2, 2)
    assert accurate.accuracy == 0.8


def test_learns_so_many_episodes(evaluator: mixq_rl.SupernetEvaluator) -> None:
    finished = 0

    class Counting(BitAllocationEnv):
        def step(self, action):  # type: ignore[no-untyped-def]
            nonlocal finished
            result = super().step(action)
            finished += result[2]
            return result

    agent = PPOAgent(Counting(evaluator), seed=0)
    agent.learn(episodes=5)
    assert finished == 5
    agent.learn(episodes=40)
    assert finished == 45


def test_same_seed_same_policy(evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path) -> None:
    for name in ("one", "other"):
        PPOAgent(BitAllocationEnv(evaluator), seed=4).learn(episodes=64).save(tmp_path / name)
    one, other = (load_file(tmp_path / name / "policy.safetensors") for name in ("one", "other"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_saved_and_loaded_allocates_the_same(
    agent: PPOAgent, evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path
) -> None:
    agent.save(tmp_path)
    loaded = PPOAgent.load(tmp_path)
    for preference in (0.0, 0.5, 1.0):
        assert loaded.allocate(evaluator, preference) == agent.allocate(evaluator, preference)
    with pytest.raises(InputError, match="loaded without an environment"):
        loaded.learn(1)


def test_updates_after_few_episodes_where_asked(evaluator: mixq_rl.SupernetEvaluator) -> None:
    def weights(episodes_per_update: int) -> list[torch.Tensor]:
        agent = PPOAgent(BitAllocationEnv(evaluator), seed=0, episodes_per_update=episodes_per_update)
        before = [parameter.clone() for parameter in agent._policy.parameters()]
        agent.learn(episodes=3)
        return [after - was for after, was in zip(agent._policy.parameters(), before, strict=True)]

    assert any(bool(change.any()) for change in weights(3))
    assert not any(bool(change.any()) for change in weights(4))


def test_neither_disturbs_nor_is_disturbed_by_the_global_generators(
    evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path
) -> None:
    def trained(name: str, draws: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        np.random.seed(1)
        agent = PPOAgent(BitAllocationEnv(evaluator), seed=2)
        torch.rand(draws)
        np.random.rand(draws)
        agent.learn(episodes=32).save(tmp_path / name)
        assert torch.equal(torch.rand(1), torch.rand(draws + 1, generator=torch.Generator().manual_seed(1))[-1:])
        return load_file(tmp_path / name / "policy.safetensors")

    one, other = trained("one", 0), trained("other", 5)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluators_may_give_lists(agent: PPOAgent) -> None:
    table = LookupTable()
    table.bit_widths = [2, 4, 8]  # type: ignore[assignment]
    assert agent.allocate(table) == agent.allocate(LookupTable())


def test_misuse_is_refused(agent: PPOAgent, any_bit_evaluator: mixq_rl.SupernetEvaluator) -> None:
    with pytest.raises(BitWidthError, match=r"chooses among \(2, 4, 8\), but \(1, 2, 3, 4, 5, 6, 7, 8\) are on offer"):
        agent.allocate(any_bit_evaluator)
    with pytest.raises(InputError, match=r"preference 2 is outside"):
        agent.allocate(LookupTable(), preference=2)
    with pytest.raises(InputError, match="0 episodes"):
        agent.learn(0)
    with pytest.raises(InputError, match="PPOAgent learns on mixq_rl/BitAllocation-v0"):
        PPOAgent(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["a"]}, "trained on other observations"),
        ({"version": 7}, "format version 7"),
        ({"bit_widths": [2, 4]}, "does not fit its description"),
        ({"bit_widths": [2, 4, 99]}, "does not fit its description"),
        ({"bit_widths": "2,4,8"}, "names no valid bit_widths"),
        ({"widths": [64, 10**9]}, "names no valid bit_widths and widths"),
    ],
)
def test_wrong_descriptions_are_refused(
    agent: PPOAgent, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    agent.save(tmp_path)
    config = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ArtifactError, match=message):
        PPOAgent.load(tmp_path)


def test_wrong_tensors_are_refused(agent: PPOAgent, tmp_path: Path) -> None:
    agent.save(tmp_path)
    file = tmp_path / "policy.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] * float("nan")}, file)
    with pytest.raises(ArtifactError, match="not finite"):
        PPOAgent.load(tmp_path)
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, file)
    with pytest.raises(ArtifactError, match="does not fit its description"):
        PPOAgent.load(tmp_path)
    file.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ArtifactError, match="damaged"):
        PPOAgent.load(tmp_path)
