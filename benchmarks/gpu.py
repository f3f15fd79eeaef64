"""What a GPU gives: checks that its integers are the CPU's, and how fast they are.

On a machine with a GPU and without a network, from the repository's root, with what ``fetch_wheels.py`` fetched:

    python3 benchmarks/gpu.py --wheels .wheels

Writes ``results/gpu-<card>.json``, anew after each section, so that a run that is stopped leaves what it found.
``--device cpu --quick`` runs all of it on small graphs without a GPU.
"""

import json
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from wheels import ROOT, use_wheels

if "--wheels" in sys.argv:  # before anything of them is imported
    use_wheels(Path(sys.argv[sys.argv.index("--wheels") + 1]))

import typer
from gpu_table import table
from measuring import circumstances

SECTIONS = ("ceilings", "aggregate", "networks", "evaluations", "checks", "training", "linear")


def main(
    wheels: Annotated[Path | None, typer.Option(help="Folder of wheels that this program is to use.")] = None,
    device: str = "cuda",
    quick: Annotated[bool, typer.Option(help="Small graphs, few repeats: to see that it runs.")] = False,
    only: Annotated[list[str], typer.Option(help=f"Repeatable; of {', '.join(SECTIONS)}.")] = [],  # noqa: B006
    seconds: Annotated[float, typer.Option(help="No section begins after so many.")] = 400.0,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = ROOT / "benchmarks" / "results",
) -> None:
    started = time.perf_counter()
    document: dict[str, Any] = circumstances("gpu.py", device) | {"quick": quick, "seconds": {}, "failed": {}}
    card = re.sub(r"[^a-z0-9]+", "-", document["processor"].lower()).strip("-") if device == "cuda" else "cpu"
    output.mkdir(parents=True, exist_ok=True)
    data_root = (wheels or ROOT / ".wheels") / "data"
    for name in SECTIONS:
        if only and name not in only:
            continue
        begun = time.perf_counter()
        if begun - started > seconds:
            document["failed"][name] = f"not begun: {seconds:.0f} seconds were over"
            continue
        print(f"== {name}, after {begun - started:.0f} s", flush=True)
        try:
            document[name] = _section(name)(device, quick, document, data_root.resolve())
        except Exception:  # one section's fault is not the others'
            document["failed"][name] = traceback.format_exc()[-4000:]
            print(document["failed"][name][-1500:], flush=True)
        document["seconds"][name] = round(time.perf_counter() - begun, 1)
        (output / f"gpu-{card}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(table(document))


def _section(name: str) -> Callable[[str, bool, dict[str, Any], Path], Any]:
    return {
        "ceilings": _ceilings,
        "checks": _checks,
        "aggregate": _aggregate,
        "networks": _networks,
        "evaluations": _evaluations,
        "linear": _linear,
        "training": _training,
    }[name]


def _ceilings(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from ceilings import measure_ceilings

    return measure_ceilings(device, ["cora"] if quick else ["arxiv", "products"], 1.0 if quick else 6.0)


def _checks(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from gpu_checks import measure_checks

    return measure_checks(device, data_root, quick)


def _aggregate(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from gpu_kernels import measure_aggregates

    graphs = ["cora"] if quick else ["cora", "pubmed", "arxiv", "products"]
    ceilings = document.get("ceilings", {}).get("gather", {})
    return measure_aggregates(device, graphs, (128,) if quick else (100, 128, 256), 0.3 if quick else 1.5, ceilings)


def _networks(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from gpu_networks import measure_networks

    graphs = ["cora"] if quick else ["arxiv", "products"]
    return measure_networks(device, graphs, (128,) if quick else (128, 256), 0.3 if quick else 2.0)


def _evaluations(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from evaluation import measure

    return [measure("Cora", str(data_root), 50 if quick else 3000, device)]


def _linear(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from gpu_kernels import LINEARS, measure_linears

    return measure_linears(device, LINEARS[:1] if quick else LINEARS, 0.3 if quick else 1.0)


def _training(device: str, quick: bool, document: dict[str, Any], data_root: Path) -> Any:
    from gpu_training import measure_training

    return measure_training(device, str(data_root), quick)


if __name__ == "__main__":
    typer.run(main)
