"""Accuracy against measured time on a CPU, of the networks that runs with ``--objective latency`` ended with.

All networks of a run's final table take turns in one process, and with them PyTorch Geometric's network in float32.
"Execute" begins with quantized features and ends with integers; "call" is ``network(x, edge_index)``, with features
quantized and logits returned. Accuracies are those of the runs, on the test split. Writes ``results/latency.json`` and
``docs/latency.png``:

    mixq-rl train --dataset Cora --objective latency --bits 1,2,4,8 --seed 0 --run-dir runs/latency-0
    python benchmarks/latency.py runs/latency-0 --dataset Cora
"""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from contestants import Contestant
from inference import float_networks
from matplotlib.figure import Figure
from measuring import circumstances, interleaved

import mixq_rl
from mixq_rl.agents.records.folder import finalist_path
from mixq_rl.agents.records.result import RunResult
from mixq_rl.graph import Graph

RESULTS = Path(__file__).parent / "results" / "latency.json"
FIGURE = Path(__file__).parent.parent / "docs" / "latency.png"
MARKERS = {"uniform": ("#2f6690", "s", "the same bits everywhere"), "agent": ("#d1495b", "o", "found by the agent")}


def main(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    dataset: str = "Cora",
    data_root: str = "data",
    seconds: Annotated[float, typer.Option(help="For each run.")] = 20.0,
) -> None:
    task = mixq_rl.load_task(dataset, root=data_root)
    document = circumstances("latency.py") | {
        "dataset": dataset,
        "runs": [_measure(run, task, seconds) for run in runs],
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    for run in document["runs"]:
        _print(run)
    _draw(document, FIGURE)


def _measure(folder: Path, task: Any, seconds: float) -> dict[str, Any]:
    result = RunResult.load(folder / "result.json")
    floats = float_networks(task.x, task.edge_index, task.num_classes)
    calls: dict[str, Contestant] = dict(floats)
    for finalist in result.finalists[1:]:
        network = mixq_rl.IntegerModel.load(finalist_path(folder / "finalists", finalist.label))
        features = network.quantize_features(task.x)
        prepared = network.quantize_graph(Graph(task.edge_index, task.num_nodes))
        calls[f"execute {finalist.label}"] = lambda network=network, x=features, graph=prepared: network.execute(
            x, graph
        )
        calls[f"call {finalist.label}"] = lambda network=network: network(task.x, task.edge_index)
    with torch.no_grad():
        times = interleaved(calls, seconds)
    best = min(floats, key=times.__getitem__)
    networks = {
        finalist.label: {
            "allocation": finalist.evaluation.allocation,
            "test_accuracy": finalist.test_accuracy,
            "reduction": finalist.evaluation.reduction,
            "execute_milliseconds": 1e3 * times[f"execute {finalist.label}"],
            "call_milliseconds": 1e3 * times[f"call {finalist.label}"],
        }
        for finalist in result.finalists[1:]
    }
    reference = {"test_accuracy": result.finalists[0].test_accuracy, "milliseconds": 1e3 * times[best], "best": best}
    return {"run": folder.name, "best": result.best.label, "float32": reference, "networks": networks}


def _print(run: dict[str, Any]) -> None:
    reference, networks = run["float32"], run["networks"]
    print(
        f"{run['run']}: float32 {reference['test_accuracy']:.1%}, {reference['milliseconds']:.3f} ms "
        f"({reference['best']})"
    )
    eight = networks["uniform 8"]["execute_milliseconds"]
    for label, network in networks.items():
        execute, call = network["execute_milliseconds"], network["call_milliseconds"]
        print(
            f"  {label}{' *' if label == run['best'] else ''}: {network['test_accuracy']:.1%}, "
            f"{network['reduction']:.1f}x fewer bit operations, execute {execute:.3f} ms ({eight / execute:.2f}x over "
            f"8 bits), call {call:.3f} ms ({reference['milliseconds'] / call:.1f}x over float32)"
        )


def _draw(document: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind, (color, marker, label) in MARKERS.items():
        points = [
            (network["call_milliseconds"], 100 * network["test_accuracy"])
            for run in document["runs"]
            for name, network in run["networks"].items()
            if name.startswith(kind)
        ]
        axes.scatter(*zip(*points, strict=True), color=color, marker=marker, s=24, label=label)
    accuracies = [100 * run["float32"]["test_accuracy"] for run in document["runs"]]
    times = [run["float32"]["milliseconds"] for run in document["runs"]]
    axes.scatter(times, accuracies, color="#6c757d", marker="D", s=24, label="float32, PyTorch Geometric")
    for name, network in document["runs"][0]["networks"].items():
        if name.startswith("uniform"):
            place = network["call_milliseconds"], 100 * network["test_accuracy"]
            axes.annotate(f"{name.removeprefix('uniform ')} bits", place, (5, 3), textcoords="offset points", size=7)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 3, 4, 6], ["1", "2", "3", "4", "6"])
    axes.minorticks_off()
    axes.set_xlabel("milliseconds of a call, features quantized in it (log scale)")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"{document['dataset']}, two-layer GCN, {document['threads']} CPU cores", size=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    typer.run(main)
