"""Evaluations per second, and seconds of training, of the GCN on a GPU and on its machine's CPU."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from graphs import SHAPES
from inference import network_inputs

import mixq_rl
from mixq_rl import devices
from mixq_rl.datasets import GraphTask

__all__ = ["measure_evaluations", "measure_training"]


def measure_evaluations(
    device: str, data_root: str | None, graphs: Sequence[str], count: int
) -> Iterator[dict[str, Any]]:
    """Yield evaluations a second on Cora (the built-in citation graph where there is no data) and arxiv-like."""
    for graph in graphs:
        task = _cora(device, data_root) if graph == "cora" else _arxiv(device)
        number = count if graph == "cora" else count // 10
        model = mixq_rl.fit(mixq_rl.build_model("gcn", task).to(device), task, epochs=2)
        evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=(2, 4, 8), epochs=1)
        draw = random.Random(0)
        drawn = [[draw.choice(evaluator.bit_widths) for _ in evaluator.components] for _ in range(number)]
        if device == "cuda":
            evaluator.warm_up()
        evaluator.evaluate(drawn[: max(number // 10, 2)])
        rates, asked, executed = [], evaluator.shared.asked, evaluator.shared.executed
        for _ in range(3):  # other allocations each time: what was executed is not executed again
            drawn = [[draw.choice(evaluator.bit_widths) for _ in evaluator.components] for _ in range(number)]
            started = time.perf_counter()
            evaluator.evaluate(drawn)
            rates.append(number / (time.perf_counter() - started))
        share = (evaluator.shared.executed - executed) / (evaluator.shared.asked - asked)
        print(f"evaluations, {task.name}: {sorted(rates)[1]:.0f} a second, {share:.0%} of the steps executed")
        yield {
            "dataset": task.name,
            "allocations": number,
            "evaluations_per_second": sorted(rates)[1],
            "first_evaluations_per_second": rates[0],
            "steps_executed": share,
        }


def measure_training(device: str, data_root: str | None, epochs: int | None) -> Iterator[dict[str, Any]]:
    """Yield seconds of ``fit`` and of ``fit_supernet``; on a GPU also without deterministic sums, and on the CPU."""
    ways: list[tuple[str, bool]] = [(device, True)]
    if device == "cuda":
        ways += [("cuda", False), ("cpu", True)]
    for place, deterministic in ways:
        switch: AbstractContextManager[None] = nullcontext() if deterministic else devices._nondeterministic()
        task = _cora(place, data_root)
        with switch:
            entry: dict[str, Any] = {
                "device": place,
                "deterministic": deterministic,
                "threads": torch.get_num_threads(),
            }
            model = mixq_rl.build_model("gcn", task).to(place)
            mixq_rl.fit(model, task, epochs=2)
            started = time.perf_counter()
            mixq_rl.fit(model, task, epochs=epochs)
            entry["fit_seconds"] = time.perf_counter() - started
            started = time.perf_counter()
            mixq_rl.SupernetEvaluator(model, task, bit_widths=(2, 4, 8), epochs=epochs)
            entry["supernet_seconds"] = time.perf_counter() - started
        print(f"training, {task.name}: {entry}", flush=True)
        yield entry


def _cora(device: str, data_root: str | None) -> GraphTask:
    if data_root is None:
        return mixq_rl.load_task("citation", device=device)
    return mixq_rl.load_task("Cora", data_root, device=device)


def _arxiv(device: str) -> GraphTask:
    shape = SHAPES["arxiv"]
    x, edge_index = network_inputs("arxiv", device)
    y = torch.randint(0, shape.classes, (shape.nodes,), device=device)
    part = torch.rand(shape.nodes, device=device)
    masks = {"train": part < 0.5, "validation": (part >= 0.5) & (part < 0.7), "test": part >= 0.7}
    return GraphTask("arxiv-like", x, edge_index, y, masks)
