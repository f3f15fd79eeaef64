"""Figures published with the code of MixQ-GNN (ICDE 2025), from its experiment logs, simulated in floating point."""

from typing import NamedTuple

__all__ = ["FRONT", "PUBLISHED", "Published"]


class Published(NamedTuple):
    """A published network.

    Attributes:
        name: how its bits were chosen.
        accuracy: on the test split in %, mean over seeds or folds.
        deviation: standard deviation of the accuracy in points, or None where none was published.
        reduction: bit operations of float32 over those of the network, convention ``linear``.
    """

    name: str
    accuracy: float
    deviation: float | None
    reduction: float


def _rows(float32: float, *rows: tuple[str, float, float, float]) -> tuple[Published, ...]:
    """Return networks from (name, accuracy, its deviation, 10^9 bit operations)."""
    return tuple(Published(name, accuracy, deviation, float32 / bitops) for name, accuracy, deviation, bitops in rows)


# The logs of GraphSAGE give no bit operations of float32. Its networks of 8 bits everywhere have a quarter of them.
PUBLISHED: dict[tuple[str, str], tuple[Published, ...]] = {
    ("Cora", "gcn"): _rows(
        16.110,
        ("float32", 82.16, 0.26, 16.110),
        ("MixQ, λ ≈ 0", 81.58, 0.75, 3.950),
        ("MixQ, λ = 0.05", 80.37, 0.53, 3.354),
        ("MixQ, λ = 0.1", 77.72, 2.85, 3.347),
        ("MixQ, λ = 1", 68.68, 2.72, 1.676),
        ("MixQ, λ ≈ 0, and Degree-Quant", 81.79, 0.31, 4.015),
    ),
    ("CiteSeer", "gcn"): _rows(
        50.679,
        ("float32", 70.31, 0.38, 50.679),
        ("MixQ, λ ≈ 0", 68.97, 1.11, 12.443),
        ("MixQ, λ = 0.075", 67.61, 1.47, 5.296),
        ("MixQ, λ = 0.1", 66.52, 1.81, 5.179),
        ("MixQ, λ = 1", 60.87, 8.72, 4.226),
        ("MixQ, λ ≈ 0, and Degree-Quant", 69.32, 0.30, 12.656),
    ),
    ("Cora", "sage"): _rows(
        4 * 1.952,
        ("float32", 77.27, 0.47, 4 * 1.952),
        ("MixQ, λ ≈ 0", 77.93, 0.33, 1.952),
        ("MixQ, λ = 0.1", 78.10, 0.28, 1.937),
        ("MixQ, λ = 1", 75.40, 0.73, 0.980),
    ),
    ("CiteSeer", "sage"): _rows(
        4 * 4.869,
        ("float32", 65.97, 0.95, 4 * 4.869),
        ("MixQ, λ ≈ 0", 65.30, 0.14, 4.869),
        ("MixQ, λ = 0.1", 65.77, 0.62, 4.239),
        ("MixQ, λ = 1", 66.60, 0.86, 2.131),
    ),
    ("Cora", "tag"): _rows(
        50.615,
        ("float32", 81.87, 0.73, 50.615),
        ("MixQ, λ ≈ 0", 80.08, 0.77, 15.249),
        ("MixQ, λ = 0.1", 76.71, 0.73, 8.915),
        ("MixQ, λ = 1", 74.34, 0.63, 5.890),
    ),
    ("CiteSeer", "tag"): _rows(
        157.785,
        ("float32", 69.63, 0.62, 157.785),
        ("MixQ, λ ≈ 0", 70.47, 0.55, 46.436),
        ("MixQ, λ = 0.1", 69.12, 1.05, 22.996),
        ("MixQ, λ = 1", 68.89, 1.05, 18.359),
    ),
    ("PROTEINS", "gin"): _rows(
        7.626,
        ("float32", 70.46, 4.24, 7.626),
        ("MixQ, λ ≈ 0", 71.59, 4.65, 1.712),
        ("MixQ, λ = 0.25", 73.12, 5.50, 1.353),
        ("MixQ, λ = 1", 72.82, 5.23, 1.259),
    ),
}

# Cora's GCN, all allocations of {2, 4, 8} bits, chosen on the test split.
FRONT = tuple(
    Published("front of all allocations, chosen on test", accuracy, None, reduction)
    for accuracy, reduction in ((82.6, 6.0), (81.7, 9.5), (80.7, 11.9), (73.9, 15.9))
)
