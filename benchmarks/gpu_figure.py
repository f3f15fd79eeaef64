"""Draws docs/gpu.png: speed-up of sums over neighbours on integers against floating point on a GPU.

python benchmarks/gpu_figure.py benchmarks/results/gpu-h100-80gb-hbm3.json
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from matplotlib.figure import Figure

FIGURE = Path(__file__).parent.parent / "docs" / "gpu.png"
COLORS = {8: "#9ecae1", 4: "#4292c6", 2: "#08519c", 1: "#08306b"}
ORDER = ("cora", "pubmed", "arxiv", "products")


class Group(NamedTuple):
    """How many times faster sums are on one graph at one width, by bits.

    Attributes:
        graph: name of its shape.
        width: columns of the rows that are summed.
        over_best: over the fastest that float users have.
        over_float32: over cuSPARSE in float32.
    """

    graph: str
    width: int
    over_best: dict[int, float]
    over_float32: dict[int, float]


def main(
    path: Annotated[Path, typer.Argument(help="Results of gpu.py.")],
    output: Annotated[Path, typer.Option(help="The picture.")] = FIGURE,
) -> None:
    document = json.loads(path.read_text())
    groups = _measured(document)
    draw(sorted(groups, key=lambda group: (ORDER.index(group.graph), group.width)), document["processor"], output)


def _measured(document: dict[str, Any]) -> Iterator[Group]:
    for entry in document["aggregate"]:
        if entry["weighted"]:
            best, cusparse = (
                {bits: entry["ratio"][over][f"fused {bits}"] for bits in COLORS}
                for over in ("best_of_users", "cusparse_float32")
            )
            yield Group(entry["graph"], entry["width"], best, cusparse)


def draw(groups: list[Group], processor: str, path: Path) -> None:
    """Draw bars for each group: over the fastest float; a mark above each: over cuSPARSE in float32."""
    figure = Figure(figsize=(max(8, 0.95 * len(groups) + 1.5), 3.8), layout="constrained")
    axes = figure.subplots()
    for place, group in enumerate(groups):
        for offset, (bits, color) in enumerate(COLORS.items()):
            best, first = group.over_best[bits], place == 0
            x = place + (offset - 1.5) * 0.2
            label = f"{bits} bit{'s' if bits > 1 else ''}" if first else None
            axes.bar(x, best, width=0.19, color=color, label=label)
            axes.annotate(f"{best:.1f}", (x, best), ha="center", va="bottom", size=6)
            label = "over cuSPARSE in float32" if first and bits == 8 else None
            axes.plot(x, group.over_float32[bits], "_", color="#d95f02", markersize=8, markeredgewidth=1.6, label=label)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
    axes.set_xticks(range(len(groups)), [f"{group.graph}-like\nwidth {group.width}" for group in groups])
    axes.set_ylabel("times faster than the fastest in float")
    axes.set_title(f"Sums over neighbours on integers, requantized ({processor})", size=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=5, loc="upper left", fontsize=7)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    typer.run(main)
