"""Behaviour cloning of the best allocations that a search found."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mixq_rl.agents.ppo.explorer import Explorer
from mixq_rl.agents.ppo.policy import AllocationPolicy, actions_of, policy_masks
from mixq_rl.envs import FEATURES, Episodes, LayerStatistics
from mixq_rl.nn import GRAPH_STATISTICS

__all__ = ["imitate"]

_PREFERENCES = 33
_EPISODES = 96
_TEMPERATURE = 0.03
_LEAST_STEPS, _STEPS_OF_TASK = 1200, 200
_BATCH = 512
_LEARNING_RATE = 2e-3
_BLUR = 0.05
_MEASURED = ("mean", "standard_deviation", "minimum", "maximum", "kurtosis", "sparsity", *GRAPH_STATISTICS)
_BLURRED = [name in _MEASURED or "sqnr_" in name for name in FEATURES]


def imitate(policy: AllocationPolicy, explorers: Sequence[Explorer], random: np.random.Generator) -> None:
    """Train a policy by behaviour cloning of the best known allocations for each preference.

    Episodes are drawn with probabilities proportional to exp(reward / 0.03), where 0.03 is the sampling temperature.
    They are drawn from the allocations evaluated on a task and from small changes to them, whose rewards the task's
    surrogate predicts. Allocations of almost equal reward are thus drawn almost equally often, and the policy keeps its
    entropy where bit-widths do not affect the reward. A little noise is added to the measured features, so that the
    policy does not memorise the graphs.

    Args:
        policy: policy whose action probabilities and value estimates are trained.
        explorers: explorers of the tasks, with fitted surrogates.
        random: draws the episodes, their order and the noise.
    """
    parts = [_episodes(explorer, random) for explorer in explorers]
    observed, actions, masks, returns = (torch.cat(kind) for kind in zip(*parts, strict=True))
    blur = torch.tensor(_BLURRED) * _BLUR if explorers[0].env.rules.observation is LayerStatistics else torch.zeros(1)
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    optimizer = torch.optim.Adam(policy.parameters(), lr=_LEARNING_RATE)
    steps = max(_LEAST_STEPS, _STEPS_OF_TASK * len(explorers))
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    policy.set_training_mode(True)
    for _ in range(steps):
        chosen = torch.randint(len(actions), (_BATCH,), generator=generator)
        seen = observed[chosen] + blur * torch.randn(_BATCH, observed.shape[1], generator=generator)
        values, log_probability, _ = policy.evaluate_actions(seen, actions[chosen], masks[chosen])
        loss = nn.functional.mse_loss(values[:, 0], returns[chosen]) - log_probability.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    policy.set_training_mode(False)


def _episodes(explorer: Explorer, random: np.random.Generator) -> tuple[Tensor, ...]:
    """Return the steps of good episodes.

    Returns:
        Observations ``[steps, features]``, actions ``[steps]``, masks ``[steps, 8]`` and returns ``[steps]``.
    """
    env, candidates = explorer.env, explorer.promising()
    evaluations = explorer.surrogate.evaluate(candidates)
    allocations, found = np.array(candidates), []
    centres = [env.reward.preference] if env.reward.preference is not None else np.linspace(0, 1, _PREFERENCES).tolist()
    for centre in centres:
        rewards = np.array([env.reward(e, env.evaluator.reference, centre) for e in evaluations])
        weights = np.exp((rewards - rewards.max()) / _TEMPERATURE)
        drawn = random.choice(len(candidates), size=_EPISODES, p=weights / weights.sum())
        spread = np.full(_EPISODES, centre)
        if len(centres) > 1:
            spread = np.clip(spread + random.uniform(-0.5, 0.5, _EPISODES) / (_PREFERENCES - 1), 0, 1)
        returns = rewards[drawn].astype(np.float32)
        episodes = Episodes(env.rules, spread)
        for bits in allocations[drawn].T:
            found.append((episodes.observe(), actions_of(bits), policy_masks(episodes), returns))
            episodes.step(bits)
    return tuple(torch.from_numpy(np.concatenate(parts)) for parts in zip(*found, strict=True))
