"""Float training, the any-bit-width supernet, and quantization-aware fine-tuning: one loop, three losses."""

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import check_bit_widths
from mixq_rl.randomness import seeded
from mixq_rl.sparse import as_features

__all__ = ["Progress", "class_probabilities", "fine_tune", "fit", "fit_supernet"]

Progress = Callable[[int, int], None]
"""Called with (epochs done, epochs in all)."""


@dataclass(frozen=True)
class _Schedule:
    epochs: int
    learning_rate: float
    scale_learning_rate: float
    weight_decay: float


_FLOAT = _Schedule(epochs=200, learning_rate=0.01, scale_learning_rate=0.0, weight_decay=5e-4)
_SUPERNET = _Schedule(epochs=150, learning_rate=5e-3, scale_learning_rate=1e-2, weight_decay=5e-4)
_FINE_TUNE = _Schedule(epochs=100, learning_rate=5e-3, scale_learning_rate=1e-2, weight_decay=5e-4)

# Beside the float model's predictions for all nodes, the few labels mainly overfit.
_LABEL_WEIGHT = 0.1


def fit(
    model: QuantizableModel,
    task: GraphTask,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Train ``model`` in float32 and leave it at its best epoch by validation.

    Adam, learning rate 0.01, weight decay 5e-4, cosine schedule. The components are measured anew afterwards.

    Args:
        model: is changed in place.
        task: its training nodes give the loss, its validation nodes choose the epoch.
        seed: of dropout.
        epochs: 200 unless given.
        progress: told after each epoch.

    Returns:
        ``model``.
    """
    x, graph = as_features(task.x), model.prepare_graph(task.edge_index, task.num_nodes)

    def loss() -> Tensor:
        return _supervised(model(x, graph), task)

    def validate() -> tuple[float, float]:
        return _validation(model(x, graph), task)

    with seeded(seed), model.allocated(None):
        _train(model, _schedule(_FLOAT, epochs), loss, validate, progress)
    model.observe(task.x, graph)
    return model


def fit_supernet(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int],
    *,
    teacher: Tensor | None = None,
    seed: int = 0,
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
        teacher: class probabilities to be distilled from, ``[nodes, classes]``; None: those of ``model`` as it comes.
        seed: of dropout and of the allocations drawn.
        epochs: 150 unless given.
        progress: told after each epoch.

    Returns:
        ``model``, with a calibrated and trained scale for each component and bit-width.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
    """
    offered = check_bit_widths(tuple(bit_widths))
    x, graph = as_features(task.x), model.prepare_graph(task.edge_index, task.num_nodes)
    target = class_probabilities(model, task) if teacher is None else teacher
    model.calibrate(task.x, graph, offered)
    count = len(model.quantizers)
    with model.allocated([offered[-1]] * count):
        model.check_sums(graph)
    draw = random.Random(seed)

    def loss() -> Tensor:
        allocations = [[offered[-1]] * count, [offered[0]] * count]
        allocations += [[draw.choice(offered) for _ in range(count)] for _ in range(2)]
        total = torch.zeros(())
        for allocation in allocations:
            with model.allocated(allocation):
                total = total + _distilled(model(x, graph), task, target)
        return total / len(allocations)

    with seeded(seed):
        _train(model, _schedule(_SUPERNET, epochs), loss, None, progress)
    return model


def fine_tune(
    model: QuantizableModel,
    task: GraphTask,
    allocation: Sequence[int],
    *,
    seed: int = 0,
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
        seed: of dropout.
        epochs: 100 unless given.
        teacher: class probabilities of the float model, ``[nodes, classes]``, to be distilled from; None: labels only.
        progress: told after each epoch.
    """
    model = copy.deepcopy(model)
    model.allocation = tuple(allocation)
    x, graph = as_features(task.x), model.prepare_graph(task.edge_index, task.num_nodes)

    def loss() -> Tensor:
        logits = model(x, graph)
        return _supervised(logits, task) if teacher is None else _distilled(logits, task, teacher)

    def validate() -> tuple[float, float]:
        return _validation(model(x, graph), task)

    with seeded(seed):
        _train(model, _schedule(_FINE_TUNE, epochs), loss, validate, progress)
    return model


def class_probabilities(model: QuantizableModel, task: GraphTask) -> Tensor:
    """Return the float model's predictions for all nodes, ``[nodes, classes]``, from which others are distilled."""
    with model.evaluating(), model.allocated(None):
        probabilities: Tensor = model(task.x, task.edge_index).softmax(dim=1)
    return probabilities


def _schedule(default: _Schedule, epochs: int | None) -> _Schedule:
    if epochs is not None and epochs < 0:
        raise InputError(f"{epochs} epochs: at least 0 are needed")
    return default if epochs is None else replace(default, epochs=epochs)


def _train(
    model: nn.Module,
    schedule: _Schedule,
    loss: Callable[[], Tensor],
    validate: Callable[[], tuple[float, float]] | None,
    progress: Progress | None,
) -> None:
    scales = [p for name, p in model.named_parameters() if "log_scales" in name and p.requires_grad]
    weights = [p for name, p in model.named_parameters() if "log_scales" not in name]
    optimizer = torch.optim.Adam(
        [
            {"params": weights, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
            {"params": scales, "lr": schedule.scale_learning_rate},
        ]
    )
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / max(schedule.epochs, 1)))
    )
    best, best_state = (-math.inf, -math.inf), None
    if validate is not None:
        best, best_state = _scored(model, validate), copy.deepcopy(model.state_dict())
    for epoch in range(schedule.epochs):
        model.train()
        optimizer.zero_grad()
        value = loss()
        if not math.isfinite(value.item()):
            raise InputError(
                f"training diverged in epoch {epoch + 1}: the loss is {value.item()}; normalise the features"
            )
        value.backward()
        optimizer.step()
        decay.step()
        if validate is not None:
            score = _scored(model, validate)
            if score > best:
                best, best_state = score, copy.deepcopy(model.state_dict())
        if progress is not None:
            progress(epoch + 1, schedule.epochs)
    if best_state is not None:
        model.load_state_dict(best_state)
    model.eval()


@torch.no_grad()
def _scored(model: nn.Module, validate: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    model.eval()
    return validate()


def _supervised(logits: Tensor, task: GraphTask) -> Tensor:
    mask = task.masks["train"]
    return nn.functional.cross_entropy(logits[mask], task.y[mask])


def _distilled(logits: Tensor, task: GraphTask, teacher: Tensor) -> Tensor:
    # All nodes' features are there in training; only the labels of validation and test nodes are withheld.
    return _LABEL_WEIGHT * _supervised(logits, task) + nn.functional.cross_entropy(logits, teacher)


def _validation(logits: Tensor, task: GraphTask) -> tuple[float, float]:
    mask = task.masks["validation"]
    return task.accuracy(logits, "validation"), -float(nn.functional.cross_entropy(logits[mask], task.y[mask]))
