"""Float training, the any-bit-width supernet, and quantization-aware fine-tuning: one loop, three losses.

All train on the device of their task, where the model must be too.
"""

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.devices import deterministic
from mixq_rl.integer_model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.optimization import Progress, Schedule, Score, optimize
from mixq_rl.quantization import Scheme, check_bit_widths, schemes
from mixq_rl.randomness import seeded
from mixq_rl.sparse import SparseMatrix

__all__ = [
    "Progress",
    "Schedule",
    "calibrate",
    "class_probabilities",
    "default_schedule",
    "fine_tune",
    "fit",
    "fit_supernet",
]

Purpose = Literal["float", "supernet", "fine-tune"]

_NODE_SCHEDULES: dict[Purpose, Schedule] = {
    "float": Schedule(epochs=200, learning_rate=0.01),
    "supernet": Schedule(epochs=150, learning_rate=5e-3),
    "fine-tune": Schedule(epochs=100, learning_rate=0.01, scale_learning_rate=2e-2),
}
# On node tasks the float model answers for all nodes: beside its predictions few labels mainly overfit; many tell what
# it does not know (benchmarks/label_weight.py).
_FEW_LABELS = 0.1
_GRAPH = Schedule(epochs=400, learning_rate=3e-3, weight_decay=1e-4, batch_size=32, label_weight=1.0)
_GRAPH_SCHEDULES: dict[Purpose, Schedule] = {
    "float": replace(_GRAPH, epochs=200),
    "supernet": _GRAPH,
    "fine-tune": replace(_GRAPH, learning_rate=5e-3, scale_learning_rate=3e-2),
}
_GRAPH_STEPS: dict[Purpose, int] = {"float": 2000, "supernet": 1200, "fine-tune": 900}


def default_schedule(purpose: Purpose, task: GraphTask) -> Schedule:
    """Return what training goes by unless told otherwise.

    Args:
        purpose: ``"float"``, ``"supernet"`` or ``"fine-tune"``.
        task: on graph tasks the epochs are as many as give 2000, 1200 or 900 steps, at most 200 or (quantized) 400. On
            node tasks labels weigh more in fine-tuning where more nodes have them: as those that have to those that
            have not, within 0.1...1.
    """
    if task.kind == "node":
        schedule = _NODE_SCHEDULES[purpose]
        return replace(schedule, label_weight=_label_weight(task)) if purpose == "fine-tune" else schedule
    schedule = _GRAPH_SCHEDULES[purpose]
    steps_of_epoch = -(-int(task.masks["train"].sum()) // schedule.batch_size)
    return schedule.lasting(min(schedule.epochs, -(-_GRAPH_STEPS[purpose] // steps_of_epoch)))


def fit(
    model: QuantizableModel,
    task: GraphTask,
    *,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Train ``model`` in float32 and leave it at its best epoch by validation.

    The components are measured anew afterwards.

    Args:
        model: is changed in place.
        task: its training split gives the loss, its validation split chooses the epoch.
        seed: of dropout and of the order of graphs.
        schedule: None: that of :func:`default_schedule`.
        epochs: None: those of the schedule.
        progress: told after each epoch.

    Returns:
        ``model``.
    """
    schedule = _schedule("float", task, schedule, epochs)
    forward = _Forward(model, task)
    with _training(task, seed), model.allocated(None):
        optimize(
            model,
            schedule,
            _batches(task, schedule, seed),
            lambda inputs: _supervised(forward(inputs), inputs),
            lambda: _validation(forward, task),
            progress,
        )
    inputs = task.calibration_inputs
    model.observe(inputs.x, inputs.graph)
    return model


def calibrate(
    model: QuantizableModel, task: GraphTask, bit_widths: Sequence[int], scheme: Scheme = schemes["lsq"]
) -> tuple[int, ...]:
    """Give every component of ``model`` scales for each bit-width, from the float values on training data.

    Args:
        model: float-trained; changed in place.
        task: gives the data: the graph, or 128 training graphs.
        bit_widths: on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.

    Returns:
        the bit-widths, ascending.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if at the highest bit-width an int32 sum might overflow.
    """
    offered = check_bit_widths(tuple(bit_widths))
    inputs = task.calibration_inputs
    model.calibrate(inputs.x, inputs.graph, offered, scheme)
    IntegerModel.freeze(model, [offered[-1]] * len(model.quantizers)).quantize_graph(inputs.graph)
    return offered


def fit_supernet(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int],
    *,
    scheme: Scheme = schemes["lsq"],
    teacher: Tensor | None = None,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Train one set of weights that works at any allocation, starting from a float-trained model.

    Every step sums the losses of the highest, the lowest and two random allocations (the sandwich rule of universally
    slimmable networks, Yu and Huang 2019), each against the labels and against the float model's predictions.

    Args:
        model: float-trained; changed in place.
        task: as in :func:`fit`.
        bit_widths: on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        teacher: what :func:`class_probabilities` gives; None: that of ``model`` as it comes.
        seed: of dropout, of the order of graphs, and of the allocations drawn.
        schedule: None: that of :func:`default_schedule`.
        epochs: None: those of the schedule.
        progress: told after each epoch.

    Returns:
        ``model``, with a calibrated and trained scale for each component and bit-width.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if at the highest bit-width an int32 sum might overflow.
    """
    schedule = _schedule("supernet", task, schedule, epochs)
    target = class_probabilities(model, task) if teacher is None else teacher
    offered = calibrate(model, task, bit_widths, scheme)
    forward, count, draw = _Forward(model, task), len(model.quantizers), random.Random(seed)

    def loss(inputs: GraphInputs) -> Tensor:
        allocations = [[offered[-1]] * count, [offered[0]] * count]
        allocations += [[draw.choice(offered) for _ in range(count)] for _ in range(2)]
        total = torch.zeros((), device=task.device)
        for allocation in allocations:
            with model.allocated(allocation):
                total = total + _distilled(forward(inputs), inputs, target, schedule.label_weight)
        return total / len(allocations)

    with _training(task, seed):
        optimize(model, schedule, _batches(task, schedule, seed), loss, None, progress)
    return model


def fine_tune(
    model: QuantizableModel,
    task: GraphTask,
    allocation: Sequence[int],
    *,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    teacher: Tensor | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Return a copy of ``model`` fine-tuned by quantization-aware training at one allocation.

    The copy is at its best epoch by validation.

    Args:
        model: calibrated at the allocation's bit-widths (a supernet); left as it is.
        task: as in :func:`fit`.
        allocation: the bit-width of each component; in force in the model returned.
        seed: of dropout and of the order of graphs.
        schedule: None: that of :func:`default_schedule`.
        epochs: None: those of the schedule.
        teacher: what :func:`class_probabilities` gives for the float model, to be distilled from; None: labels only.
        progress: told after each epoch.
    """
    schedule = _schedule("fine-tune", task, schedule, epochs)
    model = copy.deepcopy(model)
    model.allocation = tuple(allocation)
    forward = _Forward(model, task)

    def loss(inputs: GraphInputs) -> Tensor:
        logits = forward(inputs)
        if teacher is None:
            return _supervised(logits, inputs)
        return _distilled(logits, inputs, teacher, schedule.label_weight)

    with _training(task, seed):
        optimize(model, schedule, _batches(task, schedule, seed), loss, lambda: _validation(forward, task), progress)
    return model


def class_probabilities(model: QuantizableModel, task: GraphTask) -> Tensor:
    """Return the float model's predictions, from which others are distilled.

    Args:
        model: float-trained.
        task: of a node task all nodes are answered, of a graph task the training graphs, as training knows no others.

    Returns:
        ``[nodes, classes]``, or ``[graphs, classes]``, 0 for graphs that are not for training.
    """
    inputs = task.inputs("train")
    with deterministic(task.device), model.evaluating(), model.allocated(None):
        answers = model(inputs.x, inputs.graph).softmax(dim=1)
    return answers.new_zeros(task.y.numel(), answers.shape[1]).index_copy(0, inputs.index, answers)


def _label_weight(task: GraphTask) -> float:
    """Return the weight of node labels: of graph tasks, where all that is taught is labelled, it is 1."""
    labelled = int(task.masks["train"].sum())
    return min(max(labelled / max(task.num_nodes - labelled, 1), _FEW_LABELS), 1.0)


@contextmanager
def _training(task: GraphTask, seed: int) -> Iterator[None]:
    """Draw from ``seed``, and add up in the same order every time, so that a seed gives one network on one device."""
    with deterministic(task.device), seeded(seed, task.device):
        yield


class _Forward:
    """Computes a model's logits for parts of a task; the features of a node task are made sparse once."""

    def __init__(self, model: QuantizableModel, task: GraphTask) -> None:
        self._model = model
        self._whole = task.x if task.kind == "node" else None
        self._features: Tensor | SparseMatrix | None = None if self._whole is None else model.features(self._whole)

    def __call__(self, inputs: GraphInputs) -> Tensor:
        whole = self._whole is not None and inputs.x is self._whole
        features = self._features if whole and self._features is not None else inputs.x
        logits: Tensor = self._model(features, inputs.graph)
        return logits


def _schedule(purpose: Purpose, task: GraphTask, schedule: Schedule | None, epochs: int | None) -> Schedule:
    return (schedule or default_schedule(purpose, task)).lasting(epochs)


def _batches(task: GraphTask, schedule: Schedule, seed: int) -> Callable[[], Iterable[GraphInputs]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: task.training_batches(generator, schedule.batch_size)


def _supervised(logits: Tensor, inputs: GraphInputs) -> Tensor:
    return nn.functional.cross_entropy(logits[inputs.labelled], inputs.y[inputs.labelled])


def _distilled(logits: Tensor, inputs: GraphInputs, teacher: Tensor, label_weight: float) -> Tensor:
    # All nodes' features are there in training; only the labels of validation and test nodes are withheld.
    taught = nn.functional.cross_entropy(logits, teacher[inputs.index])
    return label_weight * _supervised(logits, inputs) + taught


def _validation(forward: _Forward, task: GraphTask) -> Score:
    inputs = task.inputs("validation")
    logits = forward(inputs)
    return task.accuracy(logits, "validation"), -float(_supervised(logits, inputs))
