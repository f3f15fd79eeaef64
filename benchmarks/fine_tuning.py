"""Choices in quantization-aware training, compared: teacher, weight decay, dropout, labels, batch statistics.

Networks are fine-tuned at uniform bits with each variant of a choice, and executed on integers. The choices
``temperature`` and ``supernet's weight decay`` train supernets instead, and execute them at uniform bits as they are.
On some graphs few nodes are labelled (about 5 %, as published), on others many (60 %: ``EN``, and new splits of
``Cora`` and ``citation``). On graph tasks each seed has a fold of its own. Measurements in
``results/fine_tuning.jsonl`` are not repeated. Without ``--network`` the program prints the tables of the file:

    python benchmarks/fine_tuning.py --data-root data --choice "weight decay" --network "Cora gcn" --seeds 3
"""

import copy
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from unittest import mock

import typer
from measuring import add_lines, read_lines
from torch import Tensor, nn

import mixq_rl
from mixq_rl.datasets import GraphInputs, GraphTask, Split
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.nn.batch_norm import batch_norms
from mixq_rl.training import class_probabilities, default_schedule, fine_tune, fine_tuning, fit_supernet
from mixq_rl.training.batch_statistics import estimate_statistics
from mixq_rl.training.dropout import fading_dropout
from mixq_rl.training.loop import Progress
from mixq_rl.training.losses import Forward
from mixq_rl.training.schedules import Purpose
from mixq_rl.training.second_teacher import second_teacher

RESULTS = Path(__file__).parent / "results" / "fine_tuning.jsonl"
SPLIT_ANEW = ", 60/20/20"
SPLITS: tuple[Split, ...] = ("validation", "test")


class Variant(NamedTuple):
    """One variant of a choice.

    Attributes:
        changes: of the default schedule.
        context: in which the fine-tuning runs.
        teach: returns the targets of distillation from the float32 network and the task.
    """

    changes: Mapping[str, Any]
    context: AbstractContextManager[Any] = nullcontext()
    teach: Callable[..., Tensor] = class_probabilities


class Choice(NamedTuple):
    """A choice in fine-tuning.

    Attributes:
        bits: uniform bits at which it is compared.
        variants: by name.
        of_supernet: whether a supernet is trained in place of single networks.
    """

    bits: tuple[int, ...]
    variants: Mapping[str, Variant]
    of_supernet: bool = False


@contextmanager
def _constant_dropout(model: nn.Module, progress: Progress | None) -> Iterator[Progress | None]:
    yield progress


@contextmanager
def _no_dropout(model: nn.Module, progress: Progress | None) -> Iterator[Progress | None]:
    with fading_dropout(model, None) as fade:
        fade(1, 1)
        yield progress


class _HeldStatistics(Forward):
    """Normalises by running statistics in training too, which stay those of the float32 network."""

    def __init__(self, model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
        super().__init__(model, task)
        self._norms = batch_norms(model)

    def __call__(self, inputs: GraphInputs) -> Tensor:
        for norm in self._norms:
            norm.eval()
        return super().__call__(inputs)


def _with(**functions: object) -> Variant:
    return Variant({}, mock.patch.multiple(fine_tuning, **functions))


CHOICES = {
    "teacher": Choice(
        (8, 4, 2, 1),
        {"float32": Variant({}), "second": Variant({}, teach=partial(second_teacher, targets=class_probabilities))},
    ),
    "temperature": Choice(
        (8, 4, 2, 1),
        {
            "1": Variant({}, teach=partial(second_teacher, targets=class_probabilities)),
            "by validation": Variant({}, teach=second_teacher),
            "0.1": Variant({}, teach=partial(second_teacher, targets=partial(class_probabilities, temperature=0.1))),
        },
        of_supernet=True,
    ),
    "weight decay": Choice(
        (4, 2, 1),
        {
            "of all weights": _with(undecayed=lambda model: ()),
            "not of 1 and 2 bits": Variant({}),
            "none": Variant({"weight_decay": 0.0}),
        },
    ),
    "supernet's weight decay": Choice(
        (8, 4, 2, 1),
        {f"{decay:g}": Variant({"weight_decay": decay}) for decay in (5e-4, 1e-4, 0.0)},
        of_supernet=True,
    ),
    "dropout": Choice(
        (4, 2),
        {
            "constant": _with(fading_dropout=_constant_dropout),
            "fading": Variant({}),
            "none": _with(fading_dropout=_no_dropout),
        },
    ),
    "label weight": Choice(
        (4, 2), {f"{weight:g}": Variant({"label_weight": weight}) for weight in (0.1, 0.3, 0.6, 1.0)}
    ),
    "batch statistics": Choice(
        (8, 4, 2),
        {
            "of float32": _with(Forward=_HeldStatistics, estimate_statistics=lambda model, task: None),
            "of the batches": Variant({}),
        },
    ),
}


def main(
    choice: Annotated[list[str] | None, typer.Option(help=f"{', '.join(CHOICES)}. Repeatable.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(help='Such as "EN gcn" or "Cora, 60/20/20 sage". Repeatable.')
    ] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for unknown in set(choice or []) - set(CHOICES):
        raise typer.BadParameter(f"unknown choice {unknown!r}: known are {', '.join(CHOICES)}")
    for seed, name, of in product(range(seeds), network or [], choice or CHOICES):
        key = {"choice": of, "network": name, "seed": seed}
        if not any(key.items() <= run.items() for run in read_lines(RESULTS)):
            add_lines(RESULTS, "fine_tuning.py", list(_measure(key, data_root)))
    _report()


def _task(name: str, data_root: str, seed: int) -> GraphTask:
    task = mixq_rl.load_task(name.removesuffix(SPLIT_ANEW), data_root)
    if task.kind == "graph":
        return mixq_rl.load_task(name, data_root, fold=seed)
    if name.endswith(SPLIT_ANEW):
        task = replace(task, masks=fraction_split(task.num_nodes, train=0.6, validation=0.2, seed=0))
    return task


def _measure(key: Mapping[str, Any], data_root: str) -> Iterator[dict[str, Any]]:
    dataset, _, kind = key["network"].rpartition(" ")
    seed, choice = key["seed"], CHOICES[key["choice"]]
    task = _task(dataset, data_root, seed)
    model = mixq_rl.fit(mixq_rl.build_model(kind, task, seed=seed), task, seed=seed)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=choice.bits, seed=seed)
    reference = {split: measure_reference(model, task, split=split).accuracy for split in SPLITS}
    purpose: Purpose = "supernet" if choice.of_supernet else "fine-tune"
    for name, variant in choice.variants.items():
        options = {
            "seed": seed,
            "schedule": replace(default_schedule(purpose, task), **variant.changes),
            "teacher": variant.teach(model, task),
        }
        supernet = None
        if choice.of_supernet:
            supernet = fit_supernet(copy.deepcopy(model), task, choice.bits, **options)
        for bits in choice.bits:
            allocation = [bits] * len(evaluator.components)
            with variant.context:
                trained = supernet or fine_tune(evaluator.model, task, allocation, **options)
            if supernet is not None:
                with supernet.allocated(allocation):
                    estimate_statistics(supernet, task)
            integers = mixq_rl.IntegerModel.freeze(trained, allocation)
            change = {split: evaluator.measure(integers, split).accuracy - reference[split] for split in SPLITS}
            result = {**key, "bits": bits, "variant": name, **change}
            print(json.dumps(result), flush=True)
            yield result


def _report() -> None:
    """Print the change against float32 in points, on the validation and on the test split."""
    for choice, (_, variants, _) in CHOICES.items():
        runs = [run for run in read_lines(RESULTS) if run["choice"] == choice]
        print(f"\n{choice}\n| network | bits | seeds | " + " | ".join(variants) + " |")
        print("| --- | --- | --- |" + " --- |" * len(variants))
        for name, bits in dict.fromkeys((run["network"], run["bits"]) for run in runs):
            own = [run for run in runs if (run["network"], run["bits"]) == (name, bits)]
            cells = [name, str(bits), str(len({run["seed"] for run in own}))]
            for variant in variants:
                chosen = [run for run in own if run["variant"] == variant]
                means = [100 * statistics.mean(run[split] for run in chosen) for split in SPLITS]
                cells.append(" / ".join(f"{mean:+.1f}" for mean in means))
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
