"""Checks and speed on a GPU: kernels against their ceilings and against floats, networks, training.

    python benchmarks/fetch_wheels.py --python python3.12 --data-root data     # where there is a network
    python benchmarks/gpu.py --wheels .wheels                                  # on the machine with the GPU

If the package is installed, ``--wheels`` is not needed, and ``--data-root`` names the folder of Cora. Each step writes
its results to ``gpu-<card>.json``, so a stopped program keeps its measurements. ``--only`` and ``--check`` keep the
rest of the file; its field ``measured`` has the time of each section. The last lines are a table of the aims.
``benchmarks/gpu_tables.py`` prints the tables of docs/gpu.md, ``benchmarks/gpu_figure.py`` draws its figure.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from wheels import use_wheels

if "--wheels" in sys.argv[:-1]:  # before anything is imported that they bring
    use_wheels(Path(sys.argv[sys.argv.index("--wheels") + 1]))

import typer

# Part of the time that is over when a section must end; what one does not use, later ones have.
SECTIONS = {
    "ceilings": 0.07,
    "aggregate": 0.32,
    "networks": 0.50,
    "evaluations": 0.60,
    "linear": 0.66,
    "training": 0.72,
    "checks": 1.0,
}
WIDTHS = (128, 256, 100)
AGGREGATES = [(graph, width, True) for width in WIDTHS for graph in ("arxiv", "products")]
AGGREGATES += [("cora", 128, True), ("pubmed", 128, True), ("arxiv", 128, False)]
AGGREGATES += [(graph, width, True) for graph in ("cora", "pubmed") for width in (256, 100)]
LINEARS = ((169_343, 128, 256), (169_343, 256, 256), (1_000_000, 100, 256), (2_708, 1_433, 128), (19_717, 500, 128))
NETWORKS = [("arxiv", 256), ("products", 256), ("arxiv", 128), ("products", 128)]


@dataclass
class Measurement:
    """Settings of a measurement, and its results up to now."""

    device: str
    quick: bool
    data_root: str | None
    path: Path
    document: dict[str, Any]
    until: float = 0.0
    checks: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)

    def keep_others(self, only: Sequence[str]) -> None:
        """Keep from the file what is not measured anew."""
        if not self.path.exists():
            return
        kept = json.loads(self.path.read_text())
        self.failures |= {name: reason for name, reason in kept["failures"].items() if name not in only}
        for name in (*SECTIONS, "measured"):
            if name in kept and (name not in only or (name == "checks" and self.checks)):
                self.document[name] = kept[name]

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.document | {"failures": self.failures}, indent=2) + "\n")

    def collect(self, section: str, entries: Iterable[dict[str, Any]]) -> None:
        """Keep the entries of a section as they come, until its time is over."""
        self.document[section] = []
        for entry in entries:
            self.document[section].append(entry)
            self.save()
            if time.monotonic() > self.until:
                self.failures[section] = f"its time was over after {len(self.document[section])} entries"
                return


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu: for trying this program.")] = "cuda",
    quick: Annotated[bool, typer.Option("--quick", help="Small graphs and few repeats.")] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"Repeatable; of {', '.join(SECTIONS)}.")] = None,
    check: Annotated[list[str] | None, typer.Option(help="Repeatable; part of the name of a check.")] = None,
    seconds: Annotated[float, typer.Option(help="For everything.")] = 420.0,
    wheels: Annotated[Path | None, typer.Option(help="Folder of fetch_wheels.py: install and use what it has.")] = None,
    data_root: Annotated[Path | None, typer.Option(envvar="MIXQ_RL_DATA", help="Where Cora is.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    if unknown := set(only or []) - set(SECTIONS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not among {', '.join(SECTIONS)}")
    if wheels is not None:
        use_wheels(wheels)
        data_root = data_root or (wheels / "data" if (wheels / "data").exists() else None)
    started = time.monotonic()
    measurement = _begin(device, quick, None if data_root is None else str(data_root), output)
    measurement.checks = tuple(check or ())
    if only:
        measurement.keep_others(only)
    for section, share in SECTIONS.items():
        if only and section not in only:
            continue
        measurement.until = started + share * seconds
        print(f"[{time.monotonic() - started:5.0f} s] {section}", flush=True)
        if time.monotonic() - started > seconds:
            measurement.failures[section] = "not run: no time was left"
            continue
        try:
            RUN[section](measurement)
        except Exception:  # the other sections are worth having
            measurement.failures[section] = traceback.format_exc()
            print(measurement.failures[section][-2000:], flush=True)
        about = {name: measurement.document[name] for name in ("command", "date")}
        measurement.document.setdefault("measured", {})[section] = about
        measurement.save()
    from gpu_tables import verdicts

    print(f"[{time.monotonic() - started:5.0f} s] written to {measurement.path}\n")
    print(verdicts(measurement.document | {"failures": measurement.failures})[:7500], flush=True)


def _begin(device: str, quick: bool, data_root: str | None, output: Path) -> Measurement:
    import warnings

    import torch
    from measuring import circumstances

    warnings.simplefilter("ignore", UserWarning)  # torch's, that CSR tensors are in beta
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    document = circumstances("gpu.py", device) | {"device": device, "quick": quick}
    card = document["processor"].removeprefix("NVIDIA ").lower().replace(" ", "-") if device == "cuda" else "cpu"
    return Measurement(device, quick, data_root, output / f"gpu-{card}.json", document)


def _ceilings(measurement: Measurement) -> None:
    from ceilings import measure_ceilings

    graphs = ["cora"] if measurement.quick else ["arxiv", "products"]
    measurement.document["ceilings"] = measure_ceilings(measurement.device, graphs, 0.5 if measurement.quick else 4.0)


def _checks(measurement: Measurement) -> None:
    from gpu_checks import run_checks

    before = measurement.document.get("checks", {}) if measurement.checks else {}

    def save(checks: dict[str, Any]) -> None:
        measurement.document["checks"] = before | checks
        measurement.save()

    arguments = measurement.device, measurement.data_root, measurement.quick, measurement.checks
    run_checks(*arguments, save, measurement.until)


def _aggregate(measurement: Measurement) -> None:
    from gpu_kernels import measure_aggregates

    problems = [("cora", 128, True), ("pubmed", 128, True)] if measurement.quick else AGGREGATES
    ceilings = {  # a file has texts for numbers
        graph: {int(size): entry for size, entry in found.items()}
        for graph, found in measurement.document.get("ceilings", {}).get("gather", {}).items()
    }
    seconds = 0.3 if measurement.quick else 2.0
    measurement.collect("aggregate", measure_aggregates(measurement.device, problems, seconds, ceilings))


def _linear(measurement: Measurement) -> None:
    from gpu_kernels import measure_linears

    sizes = ((2_708, 256, 128),) if measurement.quick else LINEARS
    measurement.collect("linear", measure_linears(measurement.device, sizes, 0.3 if measurement.quick else 1.5))


def _networks(measurement: Measurement) -> None:
    from gpu_networks import measure_networks

    problems = [("cora", 64)] if measurement.quick else NETWORKS
    measurement.collect("networks", measure_networks(measurement.device, problems, 0.3 if measurement.quick else 5.0))


def _evaluations(measurement: Measurement) -> None:
    from gpu_training import measure_evaluations

    arguments = measurement.device, measurement.data_root
    graphs = ("cora",) if measurement.quick else ("cora", "arxiv")
    measurement.collect("evaluations", measure_evaluations(*arguments, graphs, 20 if measurement.quick else 1000))


def _training(measurement: Measurement) -> None:
    from gpu_training import measure_training

    epochs = 5 if measurement.quick else None
    measurement.collect("training", measure_training(measurement.device, measurement.data_root, epochs))


RUN: dict[str, Callable[[Measurement], None]] = {
    "ceilings": _ceilings,
    "checks": _checks,
    "aggregate": _aggregate,
    "linear": _linear,
    "networks": _networks,
    "evaluations": _evaluations,
    "training": _training,
}


if __name__ == "__main__":
    typer.run(main)
