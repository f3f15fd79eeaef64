"""State of MaskablePPO between two rollouts, for checkpoints."""

from typing import Any

from sb3_contrib import MaskablePPO

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
    """Restore the state that :func:`ppo_state` returned, in an algorithm made with the same arguments."""
    assert isinstance(ppo.env, VectorizedBitAllocation)
    ppo.policy.load_state_dict(state["policy"])
    optimizer: dict[str, Any] = ppo.policy.optimizer.state_dict()
    optimizer["state"] = {int(key): entry for key, entry in state["optimizer"].items()}
    ppo.policy.optimizer.load_state_dict(optimizer)
    ppo._n_updates, ppo.num_timesteps = state["updates"], state["steps"]
    ppo._last_obs, ppo._last_episode_starts = state["observation"], state["begins"]
    ppo.env.load_state_dict(state["episodes"])
