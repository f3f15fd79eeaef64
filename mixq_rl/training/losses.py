"""Losses and validation scores: cross-entropy of labels, and distillation from the float model.

The cross-entropy of a multi-label task is the sum of the binary ones of its labels. Unknown labels have no part in it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.devices import deterministic
from mixq_rl.nn import QuantizableModel
from mixq_rl.randomness import seeded
from mixq_rl.sparse import SparseMatrix
from mixq_rl.training.loop import Schedule, Score

__all__ = [
    "Forward",
    "batches",
    "class_probabilities",
    "distillation_targets",
    "distilled_loss",
    "reproducible",
    "sharpening_temperature",
    "supervised_loss",
    "validation_score",
]

_TEMPERATURES = [2 ** (-step / 4) for step in range(25)]  # 1, ..., 1/64


def class_probabilities(model: QuantizableModel, task: GraphTask, *, temperature: float = 1.0) -> Tensor:
    """Return the class probabilities of the float model.

    They are the softmax of the logits over the temperature, or their sigmoid in a multi-label task.

    Args:
        model: float-trained model.
        task: task of the model. The probabilities are those of all nodes, or of the training graphs.
        temperature: above 0; a low one gives nearly all the probability to the likeliest class.

    Returns:
        ``[nodes, classes]``, or ``[graphs, classes]`` with zeros for graphs outside the training split.
    """
    return _probabilities(_logits(model, task), task, temperature)


def distillation_targets(model: QuantizableModel, task: GraphTask) -> Tensor:
    """Return the class probabilities of the float model that quantized networks learn.

    On node tasks they have the :func:`sharpening_temperature` of the validation data, on graph tasks temperature 1.
    Arguments and result are those of :func:`class_probabilities`.
    """
    logits = _logits(model, task)
    temperature = sharpening_temperature(logits, task.inputs("validation")) if task.kind == "node" else 1.0
    return _probabilities(logits, task, temperature)


def sharpening_temperature(logits: Tensor, inputs: GraphInputs) -> float:
    """Return the temperature, at most 1, that gives the least cross-entropy of the labels (Guo et al., ICML 2017).

    Float networks that learn from few labels and with strong dropout are right more often than they are sure. From
    probabilities that hardly differ between classes, quantized networks learn little (docs/results.md).

    Args:
        logits: of the rows of ``inputs``, ``[rows, classes]`` or ``[rows, labels]``.
        inputs: inputs with the labels.
    """
    return min(_TEMPERATURES, key=lambda temperature: float(supervised_loss(logits / temperature, inputs)))


def _logits(model: QuantizableModel, task: GraphTask) -> Tensor:
    """Return the logits of the float model on all nodes, or on the training graphs."""
    inputs = task.inputs("train")
    with deterministic(task.device), model.evaluating(), model.allocated(None):
        logits: Tensor = model(inputs.x, inputs.graph)
        return logits


def _probabilities(logits: Tensor, task: GraphTask, temperature: float) -> Tensor:
    logits = logits / temperature
    answers = logits.sigmoid() if task.multi_label else logits.softmax(dim=1)
    return answers.new_zeros(len(task.y), answers.shape[1]).index_copy(0, task.inputs("train").index, answers)


class Forward:
    """Function from inputs of a task to a model's logits, one for each row of the inputs.

    Sparse features of a node task are converted once.
    """

    def __init__(self, model: QuantizableModel, task: GraphTask) -> None:
        self._model = model
        self._whole = task.x if task.kind == "node" else None
        self._features: Tensor | SparseMatrix | None = None if self._whole is None else model.features(self._whole)

    def __call__(self, inputs: GraphInputs) -> Tensor:
        whole = self._whole is not None and inputs.x is self._whole
        features = self._features if whole and self._features is not None else inputs.x
        logits: Tensor = self._model(features, inputs.graph)
        return logits[: inputs.index.numel()]


def supervised_loss(logits: Tensor, inputs: GraphInputs) -> Tensor:
    if not inputs.labelled.numel():  # a batch of nodes without labels, which only distillation teaches
        return logits.new_zeros(())
    return _cross_entropy(logits[inputs.labelled], inputs.y[inputs.labelled])


def distilled_loss(logits: Tensor, inputs: GraphInputs, teacher: Tensor, label_weight: float) -> Tensor:
    # Transductive: training uses the features of all nodes, but no labels of validation and test nodes.
    target = teacher[inputs.index]
    taught = _binary(logits, target) if inputs.y.dim() == 2 else nn.functional.cross_entropy(logits, target)
    return label_weight * supervised_loss(logits, inputs) + taught


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return _binary(logits, y) if y.dim() == 2 else nn.functional.cross_entropy(logits, y)


def _binary(logits: Tensor, targets: Tensor) -> Tensor:
    known = (~targets.isnan()).to(logits.dtype)
    total = nn.functional.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num().to(logits.dtype), weight=known, reduction="sum"
    )
    # The sum over the labels, as a row's likelihood has it: its mean would be small beside the weight decay.
    return targets.shape[1] * total / known.sum().clamp(min=1)


def validation_score(forward: Forward, task: GraphTask) -> Score:
    inputs = task.inputs("validation")
    logits = forward(inputs)
    return task.score(logits, "validation"), -float(supervised_loss(logits, inputs))


def batches(
    task: GraphTask, schedule: Schedule, seed: int, *, every: bool = False
) -> Callable[[], Iterable[GraphInputs]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: task.training_batches(generator, schedule.batch_size, every=every)


@contextmanager
def reproducible(task: GraphTask, seed: int) -> Iterator[None]:
    """Seed the generators and make sums deterministic inside the block: a seed gives the same network on a device."""
    with deterministic(task.device), seeded(seed, task.device):
        yield
