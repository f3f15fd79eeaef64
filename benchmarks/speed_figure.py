"""The figure of the results of ``kernels.py``."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["draw"]

_COLORS = {8: "#9ecae1", 4: "#4292c6", 2: "#08519c", 1: "#08306b"}


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw the ratios over the best float32 alternative, a group of bars for each problem."""
    groups = [
        (f"{entry['graph']}\n{entry['width']}", {bits: entry["ratio"][f"fused {bits}"] for bits in (8, 4, 2, 1)})
        for entry in document["aggregate"]
    ]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (_, ratios) in enumerate(groups):
        for offset, (bits, ratio) in enumerate(ratios.items()):
            label = f"{bits} bit{'s' if bits > 1 else ''}" if place == 0 else None
            x = place + (offset - 1.5) * 0.2
            axes.bar(x, ratio, width=0.19, color=_COLORS[bits], label=label)
            axes.annotate(
                f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}", (x, ratio), ha="center", va="bottom", size=6
            )
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups])
    axes.set_ylabel("times faster than float32")
    axes.set_title(
        f"Aggregation on integers, requantized, over the best of float32 ({document['threads']} CPU cores)", size=10
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="upper left")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
