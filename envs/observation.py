"""What the agent sees before it chooses the bit-width of a component."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixq_rl.evaluation import Evaluator
from mixq_rl.nn import KINDS, PROBE_BITS, Component
from mixq_rl.nn.component import MAX_SQNR
from mixq_rl.quantization import MAX_BITS

__all__ = ["FEATURES", "LOW", "observe"]

_LOG_KURTOSIS = math.log(1e6)

_RANGES: dict[str, tuple[float, float]] = {
    **{f"kind_{kind}": (0.0, 1.0) for kind in KINDS},
    "position": (0.0, 1.0),
    "layer": (0.0, 1.0),
    "macs_share": (0.0, 1.0),
    "mean": (-1.0, 1.0),
    "standard_deviation": (0.0, 1.0),
    "minimum": (-1.0, 1.0),
    "maximum": (-1.0, 1.0),
    "kurtosis": (0.0, 1.0),
    "sparsity": (0.0, 1.0),
    **{f"sqnr_{bits}": (-1.0, 1.0) for bits in PROBE_BITS},
    "previous_bits": (0.0, 1.0),
    "mean_bits": (0.0, 1.0),
    "macs_left": (0.0, 1.0),
    "preference": (0.0, 1.0),
}

FEATURES: tuple[str, ...] = tuple(_RANGES)
"""Names of the features, in order. All are bounded without running statistics and say nothing of a graph's size.

``kind_*``: one-hot kind of the component. ``position``, ``layer``: of the component and its layer, first 0, last 1.
``macs_share``: its share of all components' multiply-accumulates. ``mean`` ... ``maximum``: in units of its greatest
magnitude. ``kurtosis``: logarithmic. ``sparsity``: share of zeros. ``sqnr_*``: signal-to-quantization-noise ratio at so
many bits, 1 for 100 dB. ``previous_bits``, ``mean_bits``: of the last component, and of all so far weighted by their
multiply-accumulates, 1 for 8 bits. ``macs_left``: share of multiply-accumulates of this component and those to come.
``preference``: weight of the saving in the reward.
"""

LOW: NDArray[np.float32] = np.array([low for low, _ in _RANGES.values()], dtype=np.float32)
"""Lower bounds; the upper ones are all 1."""


def observe(evaluator: Evaluator, allocation: Sequence[int], preference: float) -> NDArray[np.float32]:
    """Return the observation before the bit-width of component ``len(allocation)`` is chosen.

    After the last component the observation is that of the last one, with the allocation complete.

    Args:
        evaluator: gives the components.
        allocation: bit-widths chosen so far.
        preference: in [0, 1].

    Returns:
        float32, ``[len(FEATURES)]``.
    """
    components = evaluator.components
    index = min(len(allocation), len(components) - 1)
    component = components[index]
    macs = np.array([max(other.macs, 1) for other in components], dtype=np.float64)
    chosen = np.asarray(allocation, dtype=np.float64)
    done = len(allocation)
    values = {
        **{f"kind_{kind}": float(component.kind == kind) for kind in KINDS},
        "position": index / max(len(components) - 1, 1),
        "layer": component.layer / max(max(other.layer for other in components), 1),
        "macs_share": macs[index] / macs.sum(),
        **_statistics(component),
        "previous_bits": chosen[-1] / MAX_BITS if done else 0.0,
        "mean_bits": float((chosen * macs[:done]).sum() / macs[:done].sum()) / MAX_BITS if done else 0.0,
        "macs_left": float(macs[done:].sum() / macs.sum()),
        "preference": preference,
    }
    vector = np.array([values[name] for name in FEATURES], dtype=np.float32)
    return np.clip(vector, LOW, np.float32(1.0))


def _statistics(component: Component) -> dict[str, float]:
    statistics = component.statistics
    magnitude = max(abs(statistics["minimum"]), abs(statistics["maximum"])) or 1.0
    return {
        **{name: statistics[name] / magnitude for name in ("mean", "standard_deviation", "minimum", "maximum")},
        "kurtosis": math.log1p(max(statistics["kurtosis"], 0.0)) / _LOG_KURTOSIS,
        "sparsity": statistics["sparsity"],
        **{f"sqnr_{bits}": statistics[f"sqnr_{bits}"] / MAX_SQNR for bits in PROBE_BITS},
    }
