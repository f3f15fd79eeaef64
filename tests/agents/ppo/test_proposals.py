import numpy as np

from mixq_rl.agents import PPOAgent
from mixq_rl.agents.ppo.proposals import mutate, roll_out
from mixq_rl.envs import BitAllocationEnv, EpisodeRules, MaxBitOps
from tests.lookup_table import LookupTable


def test_an_untrained_policy_keeps_the_limit_also_with_random_actions() -> None:
    env = BitAllocationEnv(LookupTable(), reward=MaxBitOps(24.5))
    policy = PPOAgent(env, seed=0)._policy
    preferences, random = np.zeros(200), np.random.default_rng(0)
    drawn = roll_out(policy, env.rules, preferences, random=random, random_actions=4.0)
    assert len(drawn) == 200
    assert len(set(drawn)) > 4
    assert all(env.rules.cost.spent(allocation) <= 24.5 for allocation in drawn)
    assert len(set(roll_out(policy, env.rules, preferences))) == 1


def test_mutations_differ_a_little_and_keep_the_limit() -> None:
    parents, random = [(8, 8, 8, 8), (2, 2, 2, 2)], np.random.default_rng(0)
    free = mutate(parents, 300, EpisodeRules(LookupTable()), random)
    assert len(free) == 300
    changed = [min(sum(a != b for a, b in zip(child, p, strict=True)) for p in parents) for child in free]
    assert 0 < np.mean(changed) < 2
    limited = EpisodeRules(LookupTable(), reward=MaxBitOps(24.5))
    kept = mutate(parents, 300, limited, random)
    assert 0 < len(kept) < 300
    assert all(limited.cost.spent(child) <= 24.5 for child in kept)
