"""How sure an accuracy is."""

import math
from statistics import NormalDist

__all__ = ["wilson_interval"]

_CONFIDENCE = 0.95


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy over ``count`` items, in [0, 1].

    It covers which items are asked, and nothing else: neither seeds nor training.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212.

    Args:
        accuracy: share of the items that are answered rightly, in [0, 1].
        count: of items; of none nothing is known.
    """
    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    spread = z * z / count
    centre = (accuracy + spread / 2) / (1 + spread)
    half = math.sqrt(accuracy * (1 - accuracy) * spread + spread * spread / 4) / (1 + spread)
    # At 0 and 1 rounding must not push the bound past the accuracy itself.
    return max(0.0, min(centre - half, accuracy)), min(1.0, max(centre + half, accuracy))
