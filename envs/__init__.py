"""The environment ``mixq_rl/BitAllocation-v0``, its observation and its reward."""

import gymnasium

from mixq_rl.envs.bit_allocation import BitAllocationEnv
from mixq_rl.envs.observation import FEATURES, observe
from mixq_rl.envs.reward import Reward, TradeOff

__all__ = ["FEATURES", "BitAllocationEnv", "Reward", "TradeOff", "observe"]

gymnasium.register(id="mixq_rl/BitAllocation-v0", entry_point="mixq_rl.envs.bit_allocation:BitAllocationEnv")
