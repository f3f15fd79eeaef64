"""The results: accuracy and bit operations of float32, of fixed bit-widths, and of searches, table by table.

For each network and seed: float32; float32 fine-tuned as quantized networks are, the fair partner; the same bit-width
everywhere; Degree-Quant and A²Q at fixed bits; and what the relaxed search of MixQ, greedy, TPE and the agent find,
each from the same supernet, with as many evaluations, and its front fine-tuned alike. Where a dataset has folds each
seed has one of its own, unless ``--fold`` names it. Every accuracy comes from execution on integers. Each method's
networks are a line of ``results.jsonl`` when they are finished; lines in this file are not made again. Without
``--dataset`` the program writes ``results/results.csv`` and the tables of the documentation:

    python benchmarks/results.py --data-root data --dataset Cora --model gcn --seeds 10
    python benchmarks/results.py
"""

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

import typer
from measuring import add_lines
from results_rows import RESULTS, lines
from results_tables import write_tables

import mixq_rl
from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.pareto import bridge, pareto_front, spread
from mixq_rl.agents.runs.finalists import uniform_finalists
from mixq_rl.agents.searches import SearchProblem, run_search
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import Constraints
from mixq_rl.evaluation.evaluators import PostTrainingEvaluator, SupernetEvaluator
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.integer.model import IntegerModel
from mixq_rl.quantization import schemes
from mixq_rl.training import fine_tune, fit
from mixq_rl.training.preparation import prepare_calibrated

BITS = (1, 2, 4, 8)
FOLDS = {"PROTEINS": 10, "MUTAG": 10, "CSL": 5, "EN": 10, "PT": 10, "Facebook": 10}
LAYERS = {("PROTEINS", "gin"): 5, ("CSL", "gin"): 4}
EVALUATIONS = 128
POINTS = 8
"""Points of a search's front that are fine-tuned."""


def main(
    dataset: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Some of the methods. Repeatable.")] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 10,
    fold: Annotated[int | None, typer.Option(help="The fold of all seeds.")] = None,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for seed in range(seeds):
        for name in dataset or []:
            for network in model or ["gcn"]:
                _measure(Cell(name, network, seed, data_root, fold), method or list(METHODS))
    write_tables()


class Cell:
    """One network with one seed, prepared when it is first needed.

    Args:
        dataset: name of the dataset.
        name: name of the model.
        seed: seed of all training and searches.
        data_root: folder of the datasets' files.
        fold: number of the fold; None: that of the seed.
    """

    def __init__(self, dataset: str, name: str, seed: int, data_root: str, fold: int | None) -> None:
        self.key = {"dataset": dataset if fold is None else f"{dataset}, fold {fold}", "model": name, "seed": seed}
        self.seed, self._dataset, self._name, self._root = seed, dataset, name, data_root
        self._fold = seed % FOLDS[dataset] if fold is None and dataset in FOLDS else fold

    @cached_property
    def task(self) -> GraphTask:
        return mixq_rl.load_task(self._dataset, self._root, fold=self._fold)

    @cached_property
    def float_model(self) -> mixq_rl.QuantizableModel:
        layers = LAYERS.get((self._dataset, self._name))
        network = mixq_rl.build_model(self._name, self.task, num_layers=layers, seed=self.seed)
        return fit(network, self.task, seed=self.seed)

    @cached_property
    def supernet(self) -> SupernetEvaluator:
        return SupernetEvaluator(self.float_model, self.task, bit_widths=BITS, seed=self.seed, timing_repeats=9)

    def points(self, evaluator: IntegerEvaluator, allocations: Sequence[tuple[str, Sequence[int]]]) -> list[Any]:
        """Return what fine-tuned networks reach on both splits."""
        found = []
        for label, allocation in allocations:
            network = evaluator.fine_tune(allocation, seed=self.seed)
            validation, test = (evaluator.measure(network, split, timing_repeats=1) for split in ("validation", "test"))
            found.append(
                {
                    "label": label,
                    "allocation": list(allocation),
                    "validation": validation.accuracy,
                    "estimate": validation.estimate,
                    "test": test.accuracy,
                    "reduction": validation.reduction,
                    "product_reduction": validation.product_reduction,
                    "bytes": network.room,
                    "speed_up": self._speed_up(evaluator, network),
                }
            )
        return found

    def _speed_up(self, evaluator: IntegerEvaluator, network: IntegerModel) -> float:
        """Return float32's time over that of a network, whole executions on this CPU in turns."""
        float32, integers = evaluator.time_together([self.float_model, network])
        return float32 / integers


def _measure(cell: Cell, methods: Sequence[str]) -> None:
    for name in methods:
        key = {**cell.key, "method": name}
        if any(key.items() <= line.items() for line in lines()):
            continue
        started = time.perf_counter()
        line = {**key, **METHODS[name](cell), "seconds": round(time.perf_counter() - started, 1)}
        print(json.dumps(line), flush=True)
        add_lines(RESULTS, "results.py", [line])


def _float32(cell: Cell) -> dict[str, Any]:
    return {"points": [_of_float(cell, cell.float_model)]}


def _distilled(cell: Cell) -> dict[str, Any]:
    tuned = fine_tune(cell.float_model, cell.task, None, teacher=cell.supernet.teacher, seed=cell.seed)
    return {"points": [_of_float(cell, tuned)]}


def _of_float(cell: Cell, model: mixq_rl.QuantizableModel) -> dict[str, Any]:
    validation, test = (measure_reference(model, cell.task, split=split) for split in ("validation", "test"))
    return {"label": "float32", "validation": validation.accuracy, "test": test.accuracy, "reduction": 1.0}


def _uniform(cell: Cell) -> dict[str, Any]:
    evaluator = cell.supernet
    limits = Constraints().resolve(Ledger(evaluator), None).limits
    return {"points": cell.points(evaluator, uniform_finalists(BITS, limits))}


def _scheme(name: str, bits: Sequence[int]) -> Callable[[Cell], dict[str, Any]]:
    def measured(cell: Cell) -> dict[str, Any]:
        prepared = prepare_calibrated(cell.float_model, cell.task, bits, scheme=schemes[name])
        prepared = replace(prepared, teacher=cell.supernet.teacher)  # fine-tuned like the others
        evaluator = PostTrainingEvaluator.of(prepared, seed=cell.seed, timing_repeats=9)
        count = len(evaluator.components)
        return {"points": cell.points(evaluator, [(f"{name} {each}", [each] * count) for each in bits])}

    return measured


def _search(name: str, *, estimated: bool = True) -> Callable[[Cell], dict[str, Any]]:
    def measured(cell: Cell) -> dict[str, Any]:
        evaluator = copy.copy(cell.supernet)
        if not estimated:
            evaluator.estimate = None
        ledger = Ledger(evaluator, budget=EVALUATIONS)
        majority = cell.task.constant_score("validation")
        start = pretrained() if name == "ppo" else None
        run_search(name, SearchProblem(ledger, cell.seed, reference_accuracy=majority, start=start))
        evaluations = ledger.evaluations.values()
        points = bridge(spread(pareto_front(evaluations), POINTS, majority), evaluations, POINTS)
        chosen = [(f"{name} {index}", point.allocation) for index, point in enumerate(points)]
        return {"evaluations": len(ledger.evaluations), "points": cell.points(evaluator, chosen)}

    return measured


METHODS: dict[str, Callable[[Cell], dict[str, Any]]] = {
    "float32": _float32,
    "float32, distilled": _distilled,
    "uniform": _uniform,
    "Degree-Quant": _scheme("degree-quant", (8, 4)),
    "A²Q": _scheme("a2q", (8, 4)),
    "agent": _search("ppo"),
    "agent, by validation accuracy": _search("ppo", estimated=False),  # on graph tasks the same as "agent"
    "tpe": _search("tpe"),
    "greedy": _search("greedy"),
    "relaxed": _search("relaxed"),
}


if __name__ == "__main__":
    typer.run(main)
