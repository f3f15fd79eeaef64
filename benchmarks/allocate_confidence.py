"""What a short fine-tuning says about the network after its whole fine-tuning, for ``mixq-rl allocate --max-drop``.

On each task a network is trained in float32. The allocations that the policy of the package proposes are fine-tuned for
a short time, and six of them for the whole time too. The file has the numbers of answers that each changed on the
validation and the test split. Tasks in ``results/allocate_confidence.jsonl`` are not repeated. Without ``--measure``
the program fits the model of ``agents/drop_prediction.py`` to the file, prints it, and compares stated probabilities
with what was observed. For this each task is predicted with the model fitted to the other graphs' tasks:

    python benchmarks/allocate_confidence.py --data-root data --measure
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measuring import circumstances, read_lines
from scipy.optimize import minimize

import mixq_rl
from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.drop_prediction import CHANGED, FITTED, DropModel, DropPrediction
from mixq_rl.agents.target import settle
from mixq_rl.agents.trials import SHORT_EPOCHS
from mixq_rl.datasets import GraphTask, Split
from mixq_rl.datasets.citation import load_citation
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.measurement import float_execution
from mixq_rl.integer.model import IntegerModel

RESULTS = Path(__file__).parent / "results" / "allocate_confidence.jsonl"
WHOLE = 6
DROPS = (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0)
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.001)
CHECKED = [("CiteSeer", "gcn", 0), ("PT", "gcn", 0), ("Facebook", "gcn", 0)]
"""Tasks for the final check, which take no part in the fit."""
TASKS = [
    ("citation-1", "gcn", 0),
    ("Cora", "gcn", 0),
    ("EN", "gcn", 0),
    ("citation-2", "sage", 0),
    ("Cora", "sage", 1),
    ("citation-3", "gcn", 1),
    ("EN", "sage", 1),
    ("citation-4", "sage", 1),
    ("Cora", "gcn", 2),
    ("citation-5", "gcn", 2),
    ("EN", "gcn", 2),
    ("citation-6", "sage", 2),
    ("Cora", "sage", 3),
    ("citation-7", "gcn", 3),
    ("EN", "sage", 3),
    ("citation-8", "gcn", 4),
]


def load(graph: str, data_root: str) -> GraphTask:
    name, _, seed = graph.partition("-")
    return load_citation(seed=int(seed)) if seed else mixq_rl.load_task(name, data_root)


def _policy() -> str:
    return hashlib.sha256((files("mixq_rl.agents.ppo") / "pretrained" / "policy.safetensors").read_bytes()).hexdigest()[
        :12
    ]


def _measure(graph: str, model: str, seed: int, data_root: str) -> dict[str, Any]:
    task = load(graph, data_root)
    network = mixq_rl.fit(mixq_rl.build_model(model, task, seed=seed), task, seed=seed)
    evaluator = mixq_rl.PostTrainingEvaluator(network, task, bit_widths=(2, 4, 8), seed=seed)
    floating = {split: float_execution(network, task, split)() for split in ("validation", "test")}
    highest = (evaluator.bit_widths[-1],) * len(evaluator.components)
    proposed = {*pretrained().sweep(evaluator, reward=TradeOff()), highest}
    untrained = {each.allocation: each for each in evaluator.evaluate(list(proposed))}
    ordered = sorted(proposed, key=lambda allocation: untrained[allocation].bitops)
    whole = {ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, WHOLE)}

    def changed(integer: IntegerModel, split: Split) -> list[int]:
        return list(_changed(task, floating[split], _logits(task, integer, split), split))

    rows = []
    for allocation in ordered:
        calibrated = evaluator.freeze(allocation)
        short = evaluator.fine_tune(allocation, seed=seed, epochs=SHORT_EPOCHS)
        row = {
            "allocation": list(allocation),
            "reduction": untrained[allocation].reduction,
            "calibrated": changed(calibrated, "validation"),
            "divergence": _divergence(floating["validation"], _logits(task, calibrated, "validation")),
            "short": changed(short, "validation"),
        }
        if allocation in whole:
            tuned = evaluator.fine_tune(allocation, seed=seed)
            row["whole"] = [changed(tuned, "validation"), changed(tuned, "test")]
            row["short_test"] = changed(short, "test")
        rows.append(row)
    return {
        "items": [int(task.masks[split].sum()) for split in ("validation", "test")],
        "float_accuracy": [task.accuracy(floating[split], split) for split in ("validation", "test")],
        "components": [
            {
                "name": each.name,
                "macs": each.macs,
                "sqnr": [each.statistics[f"sqnr_{bits}"] for bits in evaluator.bit_widths],
            }
            for each in evaluator.components
        ],
        "rows": rows,
    }


def _logits(task: GraphTask, model: IntegerModel, split: Split) -> torch.Tensor:
    inputs = task.inputs(split)
    return model.execute(model.quantize_features(inputs.x), model.quantize_graph(inputs.graph)).dequantize()


def _changed(task: GraphTask, before: torch.Tensor, after: torch.Tensor, split: Split) -> Iterator[int]:
    """Yield the numbers of items that were wrong and are right, and that were right and are wrong."""
    mask = task.masks[split]
    rows = mask if task.kind == "node" else slice(None)
    right = [logits[rows].argmax(dim=1) == task.y[mask] for logits in (before, after)]
    yield int((~right[0] & right[1]).sum())
    yield int((right[0] & ~right[1]).sum())


def _divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return the mean Kullback-Leibler divergence of the answers from those of float32, over all rows."""
    first, second = (logits.double().log_softmax(dim=1) for logits in (before, after))
    return float((first.exp() * (first - second)).sum(dim=1).mean())


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _model(parameters: np.ndarray) -> DropModel:
    def covariance(values: np.ndarray) -> Any:
        root = np.array([[np.exp(values[0]), 0.0], [values[1], np.exp(values[2])]])
        return tuple(map(tuple, (root @ root.T).tolist()))

    level, slope = parameters[0:3:2].tolist(), parameters[1:4:2].tolist()
    return DropModel(tuple(level), tuple(slope), covariance(parameters[4:7]), covariance(parameters[7:10]))


def _short(run: dict[str, Any], row: dict[str, Any]) -> tuple[float, float]:
    items, (better, worse) = run["items"][0], row["short"]
    return 100 * (worse - better) / items, 1e4 * (better + worse + 1) / items**2


def _lost(run: dict[str, Any], row: dict[str, Any]) -> float:
    better, worse = row["whole"][1]
    return 100 * (worse - better) / run["items"][1]


def _unlikelihood(parameters: np.ndarray, runs: Sequence[dict[str, Any]]) -> float:
    """Return the negative log likelihood of all drops, with weak priors on the covariances."""
    model, total = _model(parameters), 0.5 * float(((parameters[4:] / 3) ** 2).sum())
    for run in runs:
        rows = [(0, place) for place, row in enumerate(run["rows"]) if "whole" in row]
        rows += [(1, place) for place in range(len(run["rows"]))]
        kind, place = np.array(rows).T
        chance = 1e4 * CHANGED * (1 - run["float_accuracy"][0]) / run["items"][1]
        short = [_short(run, row) for row in run["rows"]]
        drops = [short[p][0] if k else _lost(run, run["rows"][p]) for k, p in rows]
        grown = np.log1p(np.array([run["rows"][p]["divergence"] for p in place]) / 0.01)
        mean = np.array(model.level)[kind] + np.array(model.slope)[kind] * grown
        covariance = np.array(model.tasks)[np.ix_(kind, kind)]
        covariance = covariance + np.array(model.allocations)[np.ix_(kind, kind)] * (place[:, None] == place)
        covariance += np.diag([short[p][1] if k else chance for k, p in rows])
        root = np.linalg.cholesky(covariance)
        total += 0.5 * float((np.linalg.solve(root, drops - mean) ** 2).sum()) + float(np.log(np.diag(root)).sum())
    return total


def _fit(runs: Sequence[dict[str, Any]]) -> DropModel:
    start = np.array([0.0, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    return _model(minimize(_unlikelihood, start, args=(runs,), method="BFGS").x)


def _prediction(run: dict[str, Any], rows: Sequence[dict[str, Any]], model: DropModel) -> DropPrediction:
    return DropPrediction(
        [row["divergence"] for row in rows],
        error=1 - run["float_accuracy"][0],
        unseen=run["items"][1],
        model=model,
    )


def _report() -> None:
    runs = [run for run in _runs() if (run["graph"], run["model"], run["seed"]) in TASKS]
    print(_fit(runs))
    single, chosen, trainings = [], [], []
    for run in runs:
        model = _fit([other for other in runs if other["graph"] != run["graph"]])
        checked = _check(run, model)
        single += checked[0]
        chosen += checked[1]
        trainings += checked[2]
    print("\none short fine-tuning of the allocation itself, all allocations")
    _table(single)
    print(f"\nallocations as --max-drop chooses them, {np.mean(trainings):.1f} short fine-tunings on average")
    _table(chosen)
    last = [run for run in _runs() if (run["graph"], run["model"], run["seed"]) in CHECKED]
    for run in last:
        _, checked, _ = _check(run, FITTED)
        texts = [f"{drop:g}: {stated:.2f} {kept}" for drop, (stated, kept) in zip(DROPS, checked, strict=True)]
        print(f"\n{run['graph']} {run['model']}: " + ", ".join(texts))
    if last:
        print("\nthe tasks of the final check")
        _table([pair for run in last for pair in _check(run, FITTED)[1]])


def _check(run: dict[str, Any], model: DropModel) -> tuple[list[Any], list[Any], list[int]]:
    """Return pairs of a stated probability and whether the drop was kept, and numbers of short fine-tunings.

    The first pairs are those of each allocation after its own short fine-tuning. The second are those of the allocation
    that is chosen among those whose whole fine-tuning was measured.
    """
    rows, single, chosen, trainings = [row for row in run["rows"] if "whole" in row], [], [], []
    for drop in DROPS:
        for place, row in enumerate(rows):
            prediction = _prediction(run, rows, model)
            prediction.observe(place, *_short(run, row))
            single.append((float(prediction.probability(drop)[place]), _lost(run, row) <= drop + 1e-9))
        prediction = _prediction(run, rows, model)
        found = settle(prediction, drop, lambda place: _short(run, rows[place]))
        chosen.append((float(prediction.probability(drop)[found]), _lost(run, rows[found]) <= drop + 1e-9))
        trainings.append(len(prediction.observed))
    return single, chosen, trainings


def _table(pairs: Sequence[tuple[float, bool]]) -> None:
    print("| stated | cases | mean stated | observed |\n| --- | --- | --- | --- |")
    for low, high in itertools.pairwise(BINS):
        own = [pair for pair in pairs if low <= pair[0] < high]
        if own:
            stated, kept = np.mean(own, axis=0)
            print(f"| {low:g} to {min(high, 1):g} | {len(own)} | {stated:.2f} | {kept:.2f} |")
    stated, kept = np.array(pairs, dtype=float).T
    print(f"| all | {len(pairs)} | {stated.mean():.2f} | {kept.mean():.2f} |")
    print(f"\nBrier score {((stated - kept) ** 2).mean():.3f}; always stating the mean: {kept.var():.3f}")


def main(
    measure: Annotated[bool, typer.Option(help="Measure the tasks that the file does not have.")] = False,
    check: Annotated[bool, typer.Option(help="Measure those of the final check, too.")] = False,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for graph, model, seed in [*(TASKS if measure else []), *(CHECKED if check else [])]:
        key = {"graph": graph, "model": model, "seed": seed}
        if not any(key.items() <= run.items() for run in _runs()):
            result = {"policy": _policy(), **_measure(graph, model, seed, data_root)}
            with RESULTS.open("a") as file:
                file.write(json.dumps({**key, **result, **circumstances("allocate_confidence.py")}) + "\n")
            print(key, flush=True)
    _report()


if __name__ == "__main__":
    typer.run(main)
