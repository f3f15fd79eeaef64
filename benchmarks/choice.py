"""Raw answers of random allocations with the supernet and after training, of which ``choice_figures.py`` makes figures.

Each allocation is trained twice: from the calibrated float model, which shares nothing with the supernet (training 0),
and from the supernet, as ``mixq-rl train`` trains its finalists (training 1). A file for each allocation holds the
answers of the float model, of the supernet and of each epoch of both trainings, by fake quantization, which the integer
execution equals. Files that exist are not measured again:

    python benchmarks/choice.py --data-root data Cora --model gcn --allocations 40
"""

import copy
import random
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from mixq_rl.agents import EvaluatorConfig
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.evaluators import NetworkEvaluator
from mixq_rl.nn import QuantizableModel
from mixq_rl.training import PreparationCache, default_schedule, prepare_calibrated
from mixq_rl.training.batch_statistics import estimate_statistics
from mixq_rl.training.loop import Score, optimize
from mixq_rl.training.losses import Forward, batches, distilled_loss, reproducible, supervised_loss


def main(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset.")],
    model: str = "gcn",
    allocations: int = 40,
    seed: int = 0,
    raw: Annotated[Path, typer.Option(help="Where the answers are kept.")] = Path("runs/choice"),
    cache: Annotated[Path, typer.Option(help="Cache of prepared networks.")] = Path("runs/prepared"),
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    config = EvaluatorConfig(dataset=dataset, model=model, seed=seed, data_root=data_root)
    task, network = config.load()
    evaluator = config.prepare(task, network, cache=PreparationCache(cache))
    starts = [prepare_calibrated(network, task, evaluator.bit_widths).model, evaluator.model]
    folder = raw / f"{dataset}-{model}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    labels = {f"y_{split}": task.y[mask].numpy() for split, mask in task.masks.items()}
    masks = {f"mask_{split}": mask.numpy() for split, mask in task.masks.items()}
    np.savez(folder / "task.npz", **labels, **masks, **answers(network, task, None))
    draw = random.Random(seed)
    for index in range(allocations):
        allocation = [draw.choice(evaluator.bit_widths) for _ in evaluator.components]
        path = folder / f"{index:03d}.npz"
        if path.exists():
            continue
        (evaluation,) = evaluator.evaluate([allocation])
        held = {"allocation": np.array(allocation), "reduction": np.array(evaluation.reduction)}
        supernet = measured(evaluator.model, task, allocation)
        held |= {f"supernet_{name}": value for name, value in answers(supernet, task, allocation).items()}
        for training, start in enumerate(starts):
            for name, value in trained(start, evaluator, allocation).items():
                held[f"trained{training}_{name}"] = value
        np.savez(path, **held)
        print(f"{dataset} {model} {index + 1} of {allocations}", flush=True)


def measured(model: QuantizableModel, task: GraphTask, allocation: list[int]) -> QuantizableModel:
    """Return a copy with the statistics of batch normalisation at an allocation."""
    model = copy.deepcopy(model)
    with model.allocated(allocation):
        estimate_statistics(model, task)
    return model


def answers(model: QuantizableModel, task: GraphTask, allocation: list[int] | None) -> dict[str, np.ndarray[Any, Any]]:
    """Return the log-probabilities on all nodes, or those of the graphs of each split."""
    splits = ("train", "validation", "test") if task.kind == "graph" else ("validation",)
    with model.evaluating(), model.allocated(allocation):
        logs = {split: _forward(model, task, split).log_softmax(dim=1) for split in splits}
    return {"log" if len(splits) == 1 else f"log_{split}": log.half().numpy() for split, log in logs.items()}


def _forward(model: QuantizableModel, task: GraphTask, split: Any) -> torch.Tensor:
    inputs = task.inputs(split)
    return Forward(model, task)(inputs)


def trained(
    start: QuantizableModel, evaluator: NetworkEvaluator, allocation: list[int]
) -> dict[str, np.ndarray[Any, Any]]:
    """Train a copy as fine-tuning does; return the answers of all epochs, and first those before the training."""
    task, seed = evaluator.task, evaluator.seed
    schedule = default_schedule("fine-tune", task)
    model = measured(start, task, allocation)
    model.allocation = tuple(allocation)
    forward = Forward(model, task)
    classes: list[np.ndarray[Any, Any]] = []
    losses: list[np.ndarray[Any, Any]] = []
    last: list[dict[str, np.ndarray[Any, Any]]] = []

    def validate() -> Score:
        splits = ("validation", "test") if task.kind == "graph" else ("validation",)
        logs = [forward(task.inputs(split)).log_softmax(dim=1) for split in splits]
        inputs = task.inputs("validation")
        picked = logs[0][inputs.labelled].gather(1, inputs.y[inputs.labelled][:, None])[:, 0]
        classes.append(torch.cat(logs).argmax(dim=1).to(torch.uint8).numpy())
        losses.append((-picked).half().numpy())
        last[:] = [{"log": torch.cat(logs).half().numpy()}]
        return task.score(logs[0], "validation"), -float(supervised_loss(logs[0], inputs))

    def loss(inputs: Any) -> torch.Tensor:
        return distilled_loss(forward(inputs), inputs, evaluator.teacher, schedule.label_weight)

    with reproducible(task, seed):
        optimize(model, schedule, batches(task, schedule, seed), loss, validate, None)
    return {"classes": np.stack(classes), "losses": np.stack(losses), **last[0]}


if __name__ == "__main__":
    typer.run(main)
