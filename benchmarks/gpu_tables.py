"""Tables of the results of ``gpu.py``: aims and checks, and the tables of docs/gpu.md.

python benchmarks/gpu_tables.py benchmarks/results/gpu-h100-80gb-hbm3.json
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["markdown", "verdicts"]

OVER_BEST = {"8": 2.0, "4": 3.5, "2": 5.0}
OVER_CUSPARSE = {"8": 3.0, "4": 5.0, "2": 7.0}
OF_CEILING = 0.6
NETWORK_OVER_FLOAT32 = {"arxiv": 3.0, "products": 4.0}
EVALUATIONS = 1500.0
OWN = "our scheduling float16"

Verdict = tuple[str, float, float]


def main(path: Annotated[list[Path], typer.Argument(help="Results of gpu.py.")]) -> None:
    for one in path:
        print(markdown(json.loads(one.read_text())))


def verdicts(document: dict[str, Any]) -> str:
    """Return a line for each target (what was measured, the target, whether it is met), check and failure."""
    lines = []
    for what, measured, target in _targets(document):
        lines.append(f"{'met   ' if measured >= target else 'MISSED'} {what:<58} {measured:8.2f} of {target:g}")
    for name, check in document.get("checks", {}).items():
        lines.append(f"{'passed' if check['passed'] else 'FAILED'} {name}, {check['seconds']} s")
    for section, reason in document.get("failures", {}).items():
        lines.append(f"FAILED {section}: {reason.strip().splitlines()[-1][:200]}")
    return "\n".join(lines)


def _targets(document: dict[str, Any]) -> Iterator[Verdict]:
    for entry in document.get("aggregate", []):
        if entry["graph"] not in ("arxiv", "products") or entry["width"] not in (128, 256) or not entry["weighted"]:
            continue
        name = f"aggregate {entry['graph']} {entry['width']}"
        for bits in OVER_BEST:
            call = f"fused {bits}"
            yield f"{name}, {bits} bits, over best float", entry["ratio"]["best_float"][call], OVER_BEST[bits]
            over = entry["ratio"]["cusparse_float32"][call]
            yield f"{name}, {bits} bits, over cuSPARSE float32", over, OVER_CUSPARSE[bits]
        if "fused 8" in entry["of_ceiling"]:
            yield f"{name}, 8 bits, of the gather ceiling", entry["of_ceiling"]["fused 8"], OF_CEILING
    for entry in document.get("networks", []):
        if entry["graph"] in NETWORK_OVER_FLOAT32 and entry["hidden"] == 256:
            ratio = max(value for way, value in entry["ratio"]["float32"].items() if way.startswith("8 bits"))
            yield f"GCN {entry['graph']} 256, 8 bits, over PyG float32", ratio, NETWORK_OVER_FLOAT32[entry["graph"]]
    for entry in document.get("evaluations", []):
        if entry["dataset"] == "Cora":
            yield "evaluations of the Cora GCN a second", entry["evaluations_per_second"], EVALUATIONS


def markdown(document: dict[str, Any]) -> str:
    """Return the tables of a page: their cells are times faster unless the head names a unit."""
    packages = ", ".join(f"{name} {version}" for name, version in document["packages"].items())
    parts = [f"{document['processor']}, {document['date']}, {packages}"]
    measured = document.get("measured", {}).items()
    parts.append("\n".join(f"- {section}: {about['date']}, `{about['command']}`" for section, about in measured))
    parts += [_aggregates(document), _linears(document), _networks(document), _rest(document)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _aggregates(document: dict[str, Any]) -> str:
    head = ["graph", "width", "cuSPARSE float32, µs", "fastest of users, µs", "own float16, µs"]
    head += [f"{bits} bit{'s' if bits > 1 else ''}, µs (× float32, × users', × own)" for bits in (8, 4, 2, 1)]
    head += ["8 bits of the ceiling"]
    rows = []
    for entry in document.get("aggregate", []):
        times = {name: 1e3 * value for name, value in entry["milliseconds"].items()}
        references = [times.get(name) for name in ("torch.mm CSR", entry["best_of_users"], OWN)]
        cells = []
        for bits in (8, 4, 2, 1):
            taken = times[f"fused {bits}"]
            ratios = ", ".join("–" if other is None else f"{other / taken:.1f}×" for other in references)
            cells.append(f"{taken:.0f} ({ratios})")
        share = entry["of_ceiling"].get("fused 8")
        rows.append(
            [
                entry["graph"] + ("" if entry["weighted"] else ", no weights"),
                str(entry["width"]),
                *("" if value is None else f"{value:.0f}" for value in references),
                *cells,
                "" if share is None else f"{100 * share:.0f} %",
            ]
        )
    return _table(head, rows)


def _linears(document: dict[str, Any]) -> str:
    entries = document.get("linear", [])
    names = list(dict.fromkeys(name for entry in entries for name in entry["milliseconds"] if "sums" not in name))
    rows = [
        [
            " × ".join(map(str, entry["size"])),
            *(f"{entry['milliseconds'][name]:.3f}" if name in entry["milliseconds"] else "" for name in names),
        ]
        for entry in entries
    ]
    return _table(["rows × inputs × outputs, ms", *names], rows)


def _networks(document: dict[str, Any]) -> str:
    head = ["GCN", "hidden", "best float32, ms", "best float, ms"]
    head += [f"{kind}{bits} bits, ms" for kind in ("", "quantize and ") for bits in (8, 4, 2)]
    head += ["8 bits over float32", "4 bits over float32"]
    rows = []
    for entry in document.get("networks", []):
        times, reference = entry["milliseconds"], entry["reference"]

        def best(way: str, times: dict[str, float] = times) -> float:
            return min(value for name, value in times.items() if name in (way, f"{way}, CUDA graph"))

        ways = [f"{kind}{bits} bits" for kind in ("", "quantize and ") for bits in (8, 4, 2)]
        float32 = min((value, way) for way, value in times.items() if "float32" in way)
        rows.append(
            [
                entry["graph"],
                str(entry["hidden"]),
                f"{float32[0]:.3f} ({float32[1]})",
                f"{times[reference['best_float']]:.3f} ({reference['best_float']})",
                *(f"{best(way):.3f}" for way in ways),
                *(f"{float32[0] / best(f'{bits} bits'):.2f}" for bits in (8, 4)),
            ]
        )
    return _table(head, rows)


def _rest(document: dict[str, Any]) -> str:
    rows = [
        [f"evaluations a second, {entry['dataset']}", f"{entry['evaluations_per_second']:.0f}"]
        for entry in document.get("evaluations", [])
    ]
    for entry in document.get("training", []):
        sums = "" if entry["deterministic"] else ", sums in any order"
        seconds = f"{entry['fit_seconds']:.1f} s, {entry['supernet_seconds']:.1f} s"
        rows.append([f"`fit` and the supernet, {entry['device']}{sums}", seconds])
    for name, check in document.get("checks", {}).items():
        outcome = "not run" if check["message"].startswith("not run") else "passed" if check["passed"] else "failed"
        rows.append([name, f"{outcome}, {check['seconds']} s"])
    if "ceilings" in document:
        rows.append(["copy, GB/s read and written", f"{document['ceilings']['copy']:.0f}"])
    return _table(["what", "measured"], rows)


if __name__ == "__main__":
    typer.run(main)
