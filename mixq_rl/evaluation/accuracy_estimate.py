"""Estimate of a network's accuracy from the labels of validation nodes and a teacher's answers for other nodes too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.metrics import ACCURACY
from mixq_rl.devices import deterministic
from mixq_rl.evaluation.integer_metric import predicted_classes
from mixq_rl.evaluation.measurement import float_execution
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import QTensor
from mixq_rl.training.preparation import PreparedNetwork

__all__ = ["AccuracyEstimate"]

_WORTH = 4000
_UNIT = 2**20


class AccuracyEstimate:
    """Estimate of the accuracy that networks have on unseen nodes.

    On a few hundred validation nodes two allocations differ by a point from luck alone, and a search that compares a
    hundred of them finds luck. The probability that a teacher gives to a network's predicted classes needs no labels.
    Its mean over all nodes outside the training split has less luck in it, but is wrong where the teacher is. So the
    estimate is the mean of the two changes against float32, weighted by numbers of nodes::

        accuracy of float32 + (n · change in validation accuracy + 4000 · change in the mean probability) / (n + 4000)

    where n is the number of validation nodes. The teacher counts like 4,000 labels: its mean is trusted to half a
    point, which is the standard error of 4,000 labels if a tenth of the answers differ (docs/results.md).

    No label of the test split is used, but the predictions for its nodes are. The teacher has learned from the training
    labels, and its temperature from the validation labels. On a graph of a few hundred nodes the mean probability has
    luck in it too; this was not measured. Probabilities are summed as integers, so that the order of the sum does not
    matter.

    Args:
        task: node task whose metric is the accuracy.
        teacher: class probabilities of all nodes, ``[nodes, classes]``.
        float_model: the float-trained model.
        reference: its evaluation on the validation split.

    Attributes:
        share: weight of the change in validation accuracy, above 0 and below 1.
    """

    def __init__(self, task: GraphTask, teacher: Tensor, float_model: QuantizableModel, reference: Evaluation) -> None:
        self._rows = (~task.masks["train"]).nonzero()[:, 0]
        self._teacher = (teacher.index_select(0, self._rows).double() * _UNIT).round().to(torch.int32)
        self.share = 1 - _WORTH / (_WORTH + int(task.masks["validation"].sum()))
        self._accuracy = reference.accuracy
        with deterministic(task.device):
            logits = float_execution(float_model, task, "validation")()
        self._of_float = self._mean(int(self._total(logits.index_select(0, self._rows).argmax(dim=1))))

    @classmethod
    def where_known(cls, prepared: PreparedNetwork, reference: Evaluation) -> Self | None:
        """Return the estimate of a prepared network, or None.

        There is none for graph tasks, where a teacher knows the training graphs only, and for metrics other than the
        accuracy.
        """
        task = prepared.task
        known = task.kind == "node" and task.measure is ACCURACY
        return cls(task, prepared.teacher, prepared.float_model, reference) if known else None

    def measure(self, logits: QTensor) -> Tensor:
        """Return what :meth:`added` takes, int64 ``[]``. It stays on the device of the logits, and is not waited for.

        Args:
            logits: integer logits of all nodes, ``[nodes, classes]``.
        """
        return self._total(predicted_classes(logits, self._rows))

    def added(self, evaluations: Sequence[Evaluation], measured: Sequence[Tensor]) -> list[Evaluation]:
        """Return evaluations with their estimates, from results of :meth:`measure`, copied from the device at once."""
        if not evaluations:
            return []
        totals = torch.stack(list(measured)).tolist()
        return [
            replace(evaluation, estimate=self._estimate(evaluation.accuracy, self._mean(total)))
            for evaluation, total in zip(evaluations, totals, strict=True)
        ]

    def _total(self, classes: Tensor) -> Tensor:
        return self._teacher.gather(1, classes[:, None]).sum(dtype=torch.int64)

    def _mean(self, total: int) -> float:
        return total / (_UNIT * len(self._rows))

    def _estimate(self, accuracy: float, probability: float) -> float:
        change = self.share * (accuracy - self._accuracy) + (1 - self.share) * (probability - self._of_float)
        return min(max(self._accuracy + change, 0.0), 1.0)
