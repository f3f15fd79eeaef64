"""The environment ``mixq_rl/BitAllocation-v0``, its observation, its reward, and what bits cost."""

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"mixq_rl.envs needs {error.name}, which is not installed: pip install 'mixq-rl[rl]'", name=error.name
    ) from error

from mixq_rl.envs.bit_allocation import BitAllocationEnv
from mixq_rl.envs.constraints import Constraints
from mixq_rl.envs.cost import BitCost
from mixq_rl.envs.episodes import EpisodeRules, Episodes
from mixq_rl.envs.limits import Budget, Limits
from mixq_rl.envs.observation import FEATURES, OBSERVATION_VERSION, LayerStatistics, Observation
from mixq_rl.envs.reward import MaxBitOps, MaxDrop, Reward, TradeOff

__all__ = [
    "FEATURES",
    "OBSERVATION_VERSION",
    "BitAllocationEnv",
    "BitCost",
    "Budget",
    "Constraints",
    "EpisodeRules",
    "Episodes",
    "LayerStatistics",
    "Limits",
    "MaxBitOps",
    "MaxDrop",
    "Observation",
    "Reward",
    "TradeOff",
]

gymnasium.register(id="mixq_rl/BitAllocation-v0", entry_point="mixq_rl.envs.bit_allocation:BitAllocationEnv")
