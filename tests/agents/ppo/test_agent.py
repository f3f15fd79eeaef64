import itertools
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load_file

import mixq_rl
from mixq_rl import Ledger
from mixq_rl.agents import PPOAgent, PPOSettings
from mixq_rl.envs import BitAllocationEnv, MaxBitOps, MaxDrop
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation
from tests.lookup_table import LookupTable


@pytest.fixture(scope="module")
def agent() -> PPOAgent:
    env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=LookupTable())
    return PPOAgent(env, seed=0).learn(episodes=60)


def test_learns_the_optimum_of_a_lookup_table(agent: PPOAgent) -> None:
    assert agent.allocate(LookupTable(), preference=0.5) == (2, 4, 2, 2)


def test_preference_moves_the_allocation(agent: PPOAgent) -> None:
    table = LookupTable()
    accurate, cheap = (table.evaluate([agent.allocate(table, preference=w)])[0] for w in (0.0, 1.0))
    assert cheap.allocation == (2, 2, 2, 2)
    assert accurate.accuracy == 0.8


def test_one_policy_learns_for_one_reward() -> None:
    table = LookupTable()
    PPOAgent([BitAllocationEnv(table, reward=MaxDrop(0.01)), BitAllocationEnv(table, reward=MaxDrop(0.01))])
    with pytest.raises(InputError, match=r"one policy cannot learn for .*max_drop=0\.01.* and for .*max_drop=0\.02"):
        PPOAgent([BitAllocationEnv(table, reward=MaxDrop(0.01)), BitAllocationEnv(table, reward=MaxDrop(0.02))])


def test_learns_from_so_many_episodes_none_of_them_twice(evaluator: mixq_rl.SupernetEvaluator) -> None:
    env = BitAllocationEnv(evaluator)
    agent = PPOAgent(env, seed=0)
    batches: list[int] = []
    for episodes in (5, 21):
        agent.learn(episodes, watcher=lambda made: batches.append(len(made)))
    assert len(env.evaluator.evaluations) == sum(batches) == 26
    assert env.evaluator.hits == 0


def test_ends_when_everything_was_evaluated() -> None:
    env = BitAllocationEnv(LookupTable())
    PPOAgent(env, seed=0, settings=PPOSettings(rollouts=0, candidates=8, mutations=8)).learn(200)
    assert len(env.evaluator.evaluations) == 3**4


def test_begins_with_what_tells_components_apart() -> None:
    env = BitAllocationEnv(LookupTable())
    PPOAgent(env, seed=0).learn(8)
    assert len(env.evaluator.evaluations) == 8
    env = BitAllocationEnv(LookupTable())
    agent = PPOAgent(env, seed=0).learn(5)
    agent.learn(3)
    found = list(env.evaluator.evaluations)
    assert found[:3] == [(2,) * 4, (4,) * 4, (8,) * 4]
    assert set(found[3:7]) == {(2, 8, 8, 8), (8, 2, 8, 8), (8, 8, 2, 8), (8, 8, 8, 2)}


def test_the_policy_learns_from_model_rollouts(evaluator: mixq_rl.SupernetEvaluator) -> None:
    def change(rollouts: int) -> float:
        agent = PPOAgent(BitAllocationEnv(evaluator), seed=0, settings=PPOSettings(rollouts=rollouts))
        before = [parameter.clone() for parameter in agent._policy.parameters()]
        agent.learn(12)
        changes = [after - was for after, was in zip(agent._policy.parameters(), before, strict=True)]
        return max(float(change.detach().abs().max()) for change in changes)

    assert change(1) > 0
    assert change(0) == 0


@pytest.mark.slow
def test_preferences_give_bit_operations_that_fall(evaluator: mixq_rl.SupernetEvaluator) -> None:
    agent = PPOAgent(BitAllocationEnv(evaluator), seed=0).learn(160)
    allocations = [agent.allocate(evaluator, preference=step / 10) for step in range(11)]
    bitops = [evaluation.bitops for evaluation in evaluator.evaluate(allocations)]
    assert sum(after > before for before, after in itertools.pairwise(bitops)) <= 1
    assert bitops[0] > bitops[-1]


def test_max_drop_finds_the_cheapest_that_is_accurate_enough() -> None:
    table = LookupTable()
    env = BitAllocationEnv(table, reward=MaxDrop(0.003))
    agent = PPOAgent(env, seed=0).learn(40)
    assert agent.allocate(table) == (2, 4, 2, 2)


def test_max_bitops_keeps_the_limit() -> None:
    table = LookupTable()
    env = BitAllocationEnv(table, reward=MaxBitOps(30.5))
    before = len(env.evaluator.evaluations)
    agent = PPOAgent(env, seed=0).learn(20)
    made = list(env.evaluator.evaluations.values())[before:]
    assert made
    assert all(evaluation.bitops <= 30.5 for evaluation in made)
    allocation = agent.allocate(table)
    assert allocation[1] == 4
    assert table.evaluate([allocation])[0].bitops <= 30.5


def test_a_limit_that_only_the_cheapest_keeps_ends_the_search_at_once() -> None:
    class Deep(LookupTable):
        reference = replace(LookupTable.reference, allocation=(32,) * 24)

        def __init__(self) -> None:
            super().__init__()
            self.components = tuple(replace(self.components[0], name=f"c{place}") for place in range(24))

        def _evaluate(self, allocation: tuple[int, ...]) -> Evaluation:
            return replace(self.reference, allocation=allocation, bitops=float(sum(allocation)), reduction=2.0)

    env = BitAllocationEnv(Deep(), reward=MaxBitOps(48.5))
    before = len(env.evaluator.evaluations)
    PPOAgent(env, seed=0, settings=PPOSettings(rollouts=1, candidates=8, mutations=8)).learn(50)
    assert len(env.evaluator.evaluations) == before


@pytest.mark.parametrize(("bits", "components"), [((8,), 4), ((2, 4, 8), 1)])
def test_the_smallest_spaces_are_searched_whole(bits: tuple[int, ...], components: int) -> None:
    table = LookupTable()
    table.bit_widths, table.components = bits, table.components[:components]
    table._evaluate = lambda allocation: replace(table.reference, allocation=allocation, reduction=4.0)  # type: ignore[method-assign]
    budgeted = Ledger(table)
    PPOAgent(BitAllocationEnv(budgeted), seed=0).learn(10)
    assert len(budgeted.evaluations) == len(bits) ** components


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="setting batch of PPO is 0: at least 1 is needed"):
        PPOSettings(batch=0)
    with pytest.raises(InputError, match="setting optimism of PPO is -1"):
        PPOSettings(optimism=-1)


def test_same_seed_same_policy(evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path) -> None:
    for name in ("one", "other"):
        PPOAgent(BitAllocationEnv(evaluator), seed=4).learn(episodes=20).save(tmp_path / name)
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


def test_neither_disturbs_nor_is_disturbed_by_the_global_generators(
    evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path
) -> None:
    def trained(name: str, draws: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        np.random.seed(1)
        agent = PPOAgent(BitAllocationEnv(evaluator), seed=2)
        torch.rand(draws)
        np.random.rand(draws)
        agent.learn(episodes=16).save(tmp_path / name)
        assert torch.equal(torch.rand(1), torch.rand(draws + 1, generator=torch.Generator().manual_seed(1))[-1:])
        return load_file(tmp_path / name / "policy.safetensors")

    one, other = trained("one", 0), trained("other", 5)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluators_may_give_lists(agent: PPOAgent) -> None:
    table = LookupTable()
    table.bit_widths = [2, 4, 8]  # type: ignore[assignment]
    assert agent.allocate(table) == agent.allocate(LookupTable())


def test_misuse_is_refused(agent: PPOAgent) -> None:
    with pytest.raises(InputError, match=r"preference 2 is outside"):
        agent.allocate(LookupTable(), preference=2)
    with pytest.raises(InputError, match="0 episodes"):
        agent.learn(0)
    with pytest.raises(InputError, match="PPOAgent learns on mixq_rl/BitAllocation-v0"):
        PPOAgent(gymnasium.make("CartPole-v1"))
    with pytest.raises(InputError, match="at least one is needed"):
        PPOAgent([])


def test_any_bit_widths_may_be_on_offer(agent: PPOAgent, any_bit_evaluator: mixq_rl.SupernetEvaluator) -> None:
    allocation = agent.allocate(any_bit_evaluator)
    assert len(allocation) == len(any_bit_evaluator.components)
    assert set(allocation) <= set(any_bit_evaluator.bit_widths)
    table = LookupTable()
    table.bit_widths = (3, 5)
    assert set(agent.allocate(table)) <= {3, 5}


def test_nothing_is_cloned_that_was_not_evaluated(agent: PPOAgent, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to clone"):
        PPOAgent(BitAllocationEnv(LookupTable())).clone_best()
    agent.save(tmp_path)
    with pytest.raises(InputError, match="nothing to clone"):
        PPOAgent.load(tmp_path).clone_best()


def test_an_observation_of_ones_own_needs_no_names() -> None:
    class Place:
        low, high = np.zeros(2, np.float32), np.ones(2, np.float32)

        def __init__(self, *_: object) -> None:
            pass

        def __call__(self, allocations: ArrayLike, preferences: ArrayLike) -> NDArray[np.float32]:
            place = np.shape(allocations)[1] / 4
            return np.stack([np.full(len(np.asarray(preferences)), place), preferences], axis=1).astype(np.float32)

    agent = PPOAgent(BitAllocationEnv(LookupTable(), observation=Place), seed=0).learn(40).clone_best()
    assert agent.allocate(LookupTable(), preference=1.0) == (2, 2, 2, 2)
    assert agent.allocate(LookupTable(), preference=0.0)[1] > 2
    with pytest.raises(InputError, match="observation of your own"):
        agent.save("nowhere")
    with pytest.raises(InputError, match="learned with another observation"):
        PPOAgent(BitAllocationEnv(LookupTable()), start=agent)
    with pytest.raises(InputError, match="3 reference accuracies for 1 environments"):
        PPOAgent(BitAllocationEnv(LookupTable()), reference_accuracy=[0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="observe differently"):
        PPOAgent([BitAllocationEnv(LookupTable()), BitAllocationEnv(LookupTable(), observation=Place)])
