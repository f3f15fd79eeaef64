"""Observation protocol, and the default observation of layer statistics."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.envs.cost import BitCost
from mixq_rl.envs.reward import Reward
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.nn import GRAPH_STATISTICS, KINDS, MAX_SQNR, PROBE_BITS, Component
from mixq_rl.quantization import MAX_BITS

__all__ = ["FEATURES", "LOW", "OBSERVATION_VERSION", "LayerStatistics", "Observation"]

_LOG_KURTOSIS = math.log(1e6)
_LOG_NODES = math.log(1e9)
_LOG_DEGREE = math.log(1e6)
_LOG_SKEW = math.log(1e3)
_LOG_COMPONENTS = math.log(1e3)
_LOG_REDUCTION = 5.0
_DROP = 0.1

_RANGES: dict[str, tuple[float, float]] = {
    **{f"kind_{kind}": (0.0, 1.0) for kind in KINDS},
    "position": (0.0, 1.0),
    "layer": (0.0, 1.0),
    "components": (0.0, 1.0),
    "operations_share": (0.0, 1.0),
    "parameters_share": (0.0, 1.0),
    "mean": (-1.0, 1.0),
    "standard_deviation": (0.0, 1.0),
    "minimum": (-1.0, 1.0),
    "maximum": (-1.0, 1.0),
    "kurtosis": (0.0, 1.0),
    "sparsity": (0.0, 1.0),
    **{f"sqnr_{bits}": (-1.0, 1.0) for bits in PROBE_BITS},
    **{f"mean_sqnr_{bits}": (-1.0, 1.0) for bits in PROBE_BITS},
    "nodes": (0.0, 1.0),
    "mean_degree": (0.0, 1.0),
    "degree_skew": (-1.0, 1.0),
    "lowest_bits": (0.0, 1.0),
    "highest_bits": (0.0, 1.0),
    "previous_bits": (0.0, 1.0),
    "bits_before_previous": (0.0, 1.0),
    "mean_bits": (0.0, 1.0),
    "bitops_spent": (0.0, 1.0),
    "bitops_left": (0.0, 1.0),
    "preference": (0.0, 1.0),
    "headroom": (0.0, 1.0),
    "target_reduction": (0.0, 1.0),
    "tolerated_drop": (0.0, 1.0),
}

FEATURES: tuple[str, ...] = tuple(_RANGES)
"""Names of the features of :class:`LayerStatistics`, in order; ``docs/environment.md`` explains each."""

OBSERVATION_VERSION = 2
"""Version of :class:`LayerStatistics`, raised whenever the meaning of a feature changes."""

LOW: NDArray[np.float32] = np.array([low for low, _ in _RANGES.values()], dtype=np.float32)
"""Lower bounds of the features; the upper bounds are all 1."""


class Observation(Protocol):
    """Protocol of a function from the state of episodes to the input of a policy.

    An environment makes it by calling its argument ``observation`` with ``(evaluator, cost, reward)``. A custom
    observation is another class or function for that argument.

    Attributes:
        low, high: bounds of the features, float32 ``[features]``.
    """

    @property
    def low(self) -> NDArray[np.float32]: ...

    @property
    def high(self) -> NDArray[np.float32]: ...

    def __call__(self, allocations: ArrayLike, preferences: ArrayLike) -> NDArray[np.float32]:
        """Return the observations before the bit-width of component t is chosen.

        Args:
            allocations: bit-widths of the first t components in each episode, ``[episodes, t]``. If the allocation is
                complete, the observation describes the last component.
            preferences: weight of the saving in the reward, ``[episodes]``.

        Returns:
            float32 ``[episodes, features]``.
        """
        ...


class LayerStatistics:
    """Observation with the features :data:`FEATURES`.

    All features are bounded by fixed ranges, without running statistics, and comparable between graphs of any size.

    Args:
        evaluator: defines the components, their statistics and the bit-widths on offer.
        cost: cost of bits.
        reward: defines the limits on bit operations and accuracy.
    """

    low = LOW
    high = np.ones(len(FEATURES), dtype=np.float32)

    def __init__(self, evaluator: Evaluator, cost: BitCost, reward: Reward) -> None:
        self._shares = cost.shares
        self._static = _static_features(evaluator, cost, reward)
        self._span = evaluator.bit_widths[-1] - evaluator.bit_widths[0]
        self._lowest = evaluator.bit_widths[0]
        # What a limit leaves above the cheapest allocation, as a share of the range from cheapest to most expensive.
        room = math.inf if reward.max_bitops is None else reward.max_bitops - cost.cheapest
        self._room = room / max(cost.most_expensive - cost.cheapest, np.finfo(np.float64).tiny)

    def __call__(self, allocations: ArrayLike, preferences: ArrayLike) -> NDArray[np.float32]:
        bits = np.asarray(allocations, dtype=np.float64)
        episodes, done = bits.shape
        shares = self._shares[:done]
        spent = bits @ shares
        above = (spent - self._lowest * shares.sum()) / max(self._span, 1)
        observation = np.tile(self._static[min(done, len(self._static) - 1)], (episodes, 1))
        values = {
            "previous_bits": bits[:, -1] / MAX_BITS if done else 0.0,
            "bits_before_previous": bits[:, -2] / MAX_BITS if done > 1 else 0.0,
            "mean_bits": spent / max(shares.sum(), np.finfo(np.float64).tiny) / MAX_BITS if done else 0.0,
            "bitops_spent": above,
            "bitops_left": self._shares[done:].sum(),
            "preference": np.asarray(preferences, dtype=np.float64),
            "headroom": np.minimum(self._room - above, 1.0),
        }
        for name, value in values.items():
            observation[:, _PLACES[name]] = value
        return np.clip(observation, self.low, self.high)


_PLACES = {name: place for place, name in enumerate(FEATURES)}


def _static_features(evaluator: Evaluator, cost: BitCost, reward: Reward) -> NDArray[np.float32]:
    """Return the features that do not change in an episode, ``[components, features]``."""
    components = evaluator.components
    parameters = [math.prod(component.shape) if component.kind == "weight" else 0 for component in components]
    layers = max(max(component.layer for component in components), 1)
    limit = reward.max_bitops
    target = 0.0 if limit is None else math.log2(max(evaluator.reference.bitops / limit, 1.0)) / _LOG_REDUCTION
    whole = {
        f"mean_sqnr_{bits}": np.mean([component.statistics[f"sqnr_{bits}"] for component in components]) / MAX_SQNR
        for bits in PROBE_BITS
    }
    rows = np.zeros((len(components), len(FEATURES)), dtype=np.float32)
    for index, component in enumerate(components):
        values = {
            f"kind_{component.kind}": 1.0,
            "position": index / max(len(components) - 1, 1),
            "layer": component.layer / layers,
            "components": math.log(len(components)) / _LOG_COMPONENTS,
            "operations_share": cost.shares[index],
            "parameters_share": parameters[index] / max(sum(parameters), 1),
            **_statistics(component),
            **whole,
            **_graph(component),
            "lowest_bits": evaluator.bit_widths[0] / MAX_BITS,
            "highest_bits": evaluator.bit_widths[-1] / MAX_BITS,
            "target_reduction": target,
            "tolerated_drop": (reward.max_drop or 0.0) / _DROP,
        }
        for name, value in values.items():
            rows[index, _PLACES[name]] = value
    return np.clip(rows, LOW, np.float32(1.0))


def _statistics(component: Component) -> dict[str, float]:
    statistics = component.statistics
    magnitude = max(abs(statistics["minimum"]), abs(statistics["maximum"])) or 1.0
    return {
        **{name: statistics[name] / magnitude for name in ("mean", "standard_deviation", "minimum", "maximum")},
        "kurtosis": math.log1p(max(statistics["kurtosis"], 0.0)) / _LOG_KURTOSIS,
        "sparsity": statistics["sparsity"],
        **{f"sqnr_{bits}": statistics[f"sqnr_{bits}"] / MAX_SQNR for bits in PROBE_BITS},
    }


def _graph(component: Component) -> dict[str, float]:
    nodes, degree, skew = (component.statistics.get(name, 0.0) for name in GRAPH_STATISTICS)
    return {
        "nodes": math.log1p(max(nodes, 0.0)) / _LOG_NODES,
        "mean_degree": math.log1p(max(degree, 0.0)) / _LOG_DEGREE,
        "degree_skew": math.copysign(math.log1p(abs(skew)), skew) / _LOG_SKEW,
    }
