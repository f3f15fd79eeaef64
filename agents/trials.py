"""Short trials of allocations: the answers of a calibrated network, and a short fine-tuning, against float32."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixq_rl.datasets import Split
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import float_execution
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.losses import class_probabilities
from mixq_rl.training.schedules import shortened

__all__ = ["SHORT_EPOCHS", "Trial", "Trials"]

SHORT_EPOCHS = 20
"""Greatest number of epochs of a short fine-tuning. The predictions of the drop are fitted to it."""


class Trial(NamedTuple):
    """Result of a short fine-tuning.

    Attributes:
        evaluation: evaluation on validation data.
        drop: drop of the metric below float32, in points.
        variance: variance of this drop by the choice of the validation items, in points squared.
    """

    evaluation: Evaluation
    drop: float
    variance: float


class Trials:
    """Trials of allocations of one network.

    Args:
        evaluator: evaluator of the calibrated network.
        model: the float-trained network.
    """

    def __init__(self, evaluator: IntegerEvaluator, model: QuantizableModel) -> None:
        self.evaluator = evaluator
        task = evaluator.task
        self._probabilities = class_probabilities(model, task)[task.inputs("train").index].double()
        self._answers = float_execution(model, task, "validation")()

    def divergence(self, allocation: Sequence[int]) -> float:
        """Return the mean Kullback-Leibler divergence of a calibrated network's answers from float32's, in nats.

        Labels are not used. The mean is over all nodes, or the training graphs; of several labels also over these.
        """
        task = self.evaluator.task
        expected = self._probabilities
        logits = self._logits(self.evaluator.freeze(allocation), "train").double()
        if task.multi_label:
            expected = torch.stack([expected, 1 - expected])
            log_answers = torch.nn.functional.logsigmoid(torch.stack([logits, -logits]))
            return float((torch.xlogy(expected, expected) - expected * log_answers).sum(dim=0).mean())
        log_answers = logits.log_softmax(dim=1)
        return float((torch.xlogy(expected, expected) - expected * log_answers).sum(dim=1).mean())

    def short(self, allocation: Sequence[int]) -> Trial:
        """Fine-tune the network for a short time, and compare its answers with those of float32."""
        evaluator = self.evaluator
        epochs = shortened(SHORT_EPOCHS, evaluator.task)
        tuned = evaluator.fine_tune(allocation, seed=evaluator.seed, epochs=epochs)
        evaluation = evaluator.measure(tuned, "validation", timing_repeats=1)
        drop = 100 * (evaluator.reference.accuracy - evaluation.accuracy)
        return Trial(evaluation, drop, self._variance(self._logits(tuned, "validation")))

    def _variance(self, logits: Tensor) -> float:
        """Return the variance of a mean over items whose answers changed: McNemar's, with one change more."""
        task = self.evaluator.task
        mask = task.masks["validation"]
        rows = mask if task.kind == "node" else slice(None)
        before, after = (each[rows] for each in (self._answers, logits))
        if task.multi_label:
            changed, items = int(((before > 0) != (after > 0)).any(dim=1).sum()), len(before)
        else:
            right = [each.argmax(dim=1) == task.y[mask] for each in (before, after)]
            changed, items = int((right[0] != right[1]).sum()), len(before)
        return 1e4 * (changed + 1) / items**2

    def _logits(self, model: IntegerModel, split: Split) -> Tensor:
        return self.evaluator.execution(model, split)().dequantize()
