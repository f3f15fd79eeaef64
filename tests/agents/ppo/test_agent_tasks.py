"""One policy for several tasks, and a policy that another one begins with."""

from mixq_rl.agents import PPOAgent, PPOSettings
from mixq_rl.envs import BitAllocationEnv, MaxBitOps, MaxDrop
from tests.agents.ppo.tables import OtherTable
from tests.lookup_table import LookupTable


def test_one_policy_learns_on_tasks_of_other_lengths_and_bit_widths() -> None:
    envs = [BitAllocationEnv(LookupTable()), BitAllocationEnv(OtherTable())]
    agent = PPOAgent(envs, seed=0, reference_accuracy=[0.1, 0.2]).learn(24).clone_best()
    assert [len(env.evaluator.evaluations) for env in envs] == [24, 8]
    assert agent.allocate(LookupTable(), preference=0.5) == (2, 4, 2, 2)
    assert agent.allocate(OtherTable(), preference=0.4) == (3, 3, 6)


def test_an_agent_that_starts_from_another_does_first_what_that_would_do() -> None:
    taught = PPOAgent(BitAllocationEnv(LookupTable()), seed=0).learn(60).clone_best()
    table = LookupTable()
    env = BitAllocationEnv(table)
    PPOAgent(env, seed=1, start=taught).learn(20)
    found, proposed = list(env.evaluator.evaluations), taught.sweep(table)
    assert 1 < len(proposed) <= 16
    assert found[: len(proposed)] == proposed
    assert found[0] == taught.allocate(table, preference=0.5)
    assert len(set(found)) == 20


def test_only_the_proposals_of_the_start_are_used() -> None:
    taught = PPOAgent(BitAllocationEnv(LookupTable()), seed=0).learn(60).clone_best()
    envs = [BitAllocationEnv(LookupTable()) for _ in range(2)]
    started, new = (PPOAgent(env, seed=1, start=start) for env, start in zip(envs, (taught, None), strict=True))
    assert started.sweep(LookupTable()) == new.sweep(LookupTable()) != taught.sweep(LookupTable())
    settings = PPOSettings(widths=(8,))  # the shapes may differ
    small = PPOAgent(BitAllocationEnv(table := LookupTable()), settings=settings, start=taught).learn(2)
    assert len(small.sweep(table)) > 1


def test_the_start_may_have_learned_with_another_reward() -> None:
    taught = PPOAgent(BitAllocationEnv(LookupTable()), seed=0).learn(60).clone_best()
    table, reward = LookupTable(), MaxDrop(0.02)
    searched = [BitAllocationEnv(table, reward=reward), BitAllocationEnv(table, reward=reward)]
    started, new = (PPOAgent(env, seed=1, start=start) for env, start in zip(searched, (taught, None), strict=True))
    assert started.allocate(table) == new.allocate(table)
    started.learn(20)
    proposed = taught.sweep(table)
    assert list(searched[0].evaluator.evaluations)[: len(proposed)] == proposed


def test_a_sweep_follows_the_limit_and_cloning_too() -> None:
    reward = MaxBitOps(30.5)
    agent = PPOAgent(BitAllocationEnv(LookupTable(), reward=reward), seed=0).learn(20).clone_best()
    swept = agent.sweep(LookupTable())
    assert swept
    assert all(evaluation.bitops <= 30.5 for evaluation in LookupTable().evaluate(swept))
    env = BitAllocationEnv(LookupTable(), reward=reward)
    PPOAgent(env, start=agent).learn(10)
    assert swept[0] in env.evaluator.evaluations
