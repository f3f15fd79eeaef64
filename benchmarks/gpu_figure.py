"""Draws docs/gpu.png: how many times faster sums over neighbours are on integers than in floating point on a GPU.

python benchmarks/gpu_figure.py benchmarks/results/gpu-h100-80gb-hbm3.json
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

FIGURE = Path(__file__).parent.parent / "docs" / "gpu.png"
COLORS = {8: "#9ecae1", 4: "#4292c6", 2: "#08519c", 1: "#08306b"}


def main(
    path: Annotated[Path, typer.Argument(help="Results of gpu.py.")],
    output: Annotated[Path, typer.Option(help="The picture.")] = FIGURE,
) -> None:
    draw(json.loads(path.read_text()), output)


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw a group of bars for each graph and width: over the best float; a mark above: over cuSPARSE in float32."""
    order = {"cora": 0, "pubmed": 1, "arxiv": 2, "products": 3}
    entries = [entry for entry in document["aggregate"] if entry["weighted"]]
    entries.sort(key=lambda entry: (order[entry["graph"]], entry["width"]))
    figure = Figure(figsize=(max(8, 0.95 * len(entries) + 1.5), 3.8), layout="constrained")
    axes = figure.subplots()
    for place, entry in enumerate(entries):
        for offset, (bits, color) in enumerate(COLORS.items()):
            best, cusparse = (entry["ratio"][over][f"fused {bits}"] for over in ("best_float", "cusparse_float32"))
            x, first = place + (offset - 1.5) * 0.2, place == 0
            label = f"{bits} bit{'s' if bits > 1 else ''}" if first else None
            axes.bar(x, best, width=0.19, color=color, label=label)
            text = f"{best:.0f}" if best >= 10 else f"{best:.1f}"
            axes.annotate(text, (x, best), ha="center", va="bottom", size=6)
            label = "over cuSPARSE, float32" if first and bits == 8 else None
            axes.plot(x, cusparse, "_", color="#d95f02", markersize=8, markeredgewidth=1.6, label=label)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
    axes.set_xticks(range(len(entries)), [f"{entry['graph']}\n{entry['width']}" for entry in entries])
    axes.set_ylabel("times faster than the best float")
    axes.set_title(f"Sums over neighbours on integers, requantized ({document['processor']})", size=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=5, loc="upper left", fontsize=7)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    typer.run(main)
