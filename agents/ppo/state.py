"""State of MaskablePPO between two rollouts, for checkpoints."""

from collections.abc import Mapping
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from torch import Tensor

from mixq_rl.agents.ppo.vectorized import VectorizedBitAllocation
from mixq_rl.agents.records.checkpoints import State

__all__ = ["load_ppo_state", "ppo_state"]


def ppo_state(ppo: MaskablePPO) -> State:
    """Return the weights, the optimizer's moments, the step counters and the state of the episodes."""
    assert isinstance(ppo.env, VectorizedBitAllocation)
    return {
        "policy": dict(ppo.policy.state_dict()),
        "optimizer": {str(key): entry for key, entry in ppo.policy.optimizer.state_dict()["state"].items()},
        "updates": ppo._n_updates,
        "steps": ppo.num_timesteps,
        "observation": ppo._last_obs,
        "begins": ppo._last_episode_starts,
        "episodes": ppo.env.state_dict(),
    }


def load_ppo_state(ppo: MaskablePPO, state: State) -> None:
    """Restore the state that :func:`ppo_state` returned, in an algorithm made with the same arguments.

    Raises:
        ValueError: for tensors of other shapes or dtypes, or with values that are not finite.
    """
    assert isinstance(ppo.env, VectorizedBitAllocation)
    optimizer: dict[str, Any] = ppo.policy.optimizer.state_dict()
    optimizer["state"] = {int(key): entry for key, entry in state["optimizer"].items()}
    _check(ppo, state["policy"], optimizer["state"])
    ppo.policy.load_state_dict(state["policy"])
    ppo.policy.optimizer.load_state_dict(optimizer)
    ppo._n_updates, ppo.num_timesteps = state["updates"], state["steps"]
    ppo._last_obs, ppo._last_episode_starts = state["observation"], state["begins"]
    ppo.env.load_state_dict(state["episodes"])


def _check(ppo: MaskablePPO, weights: Mapping[str, Any], moments: Mapping[int, Mapping[str, Any]]) -> None:
    own = [parameter for group in ppo.policy.optimizer.param_groups for parameter in group["params"]]
    pairs = [(weights[name], tensor) for name, tensor in ppo.policy.state_dict().items()]
    for index, entry in moments.items():
        pairs += [(entry["step"], torch.zeros(()))]
        pairs += [(entry[name], own[index]) for name in ("exp_avg", "exp_avg_sq")]
    for given, expected in pairs:
        if not isinstance(given, Tensor) or (given.shape, given.dtype) != (expected.shape, expected.dtype):
            raise ValueError("a tensor of another shape or dtype than this agent has")
        if not bool(given.isfinite().all()):
            raise ValueError("a tensor with values that are not finite")
