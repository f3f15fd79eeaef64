"""Accuracy of integer logits, counted on their device and fetched for many networks at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.quantization import PackedRows, QTensor

__all__ = ["IntegerAccuracy"]


class IntegerAccuracy:
    """What :meth:`GraphTask.accuracy` says of the real logits, read from their integers.

    Args:
        task: has the labels.
        split: which nodes (graphs) count.
    """

    def __init__(self, task: GraphTask, split: Split) -> None:
        inputs = task.inputs(split)
        # The rows of a graph task's inputs are the split's graphs, all of them.
        self._rows = inputs.labelled if task.kind == "node" else None
        self._labels = task.y[task.masks[split]]

    def correct(self, logits: QTensor) -> Tensor:
        """Return how many answers are right, int64 ``[]``, on the device of the logits, which is not waited for.

        Args:
            logits: ``[nodes, classes]``, or ``[graphs of the split, classes]``.
        """
        return torch.count_nonzero(self._greatest(logits) == self._labels)

    def of(self, correct: Sequence[Tensor]) -> list[float]:
        """Return the accuracies, in [0, 1], of what :meth:`correct` returned; fetched from the device in one go."""
        if not correct:
            return []
        count = self._labels.numel()
        return [right / count for right in torch.stack(list(correct)).tolist()]

    def _greatest(self, logits: QTensor) -> Tensor:
        if logits.row is not None or logits.scale.dim():
            real = logits.dequantize()
            return (real if self._rows is None else real.index_select(0, self._rows)).argmax(dim=1)
        # One positive scale and one zero point: integers are in the order of the numbers that they stand for.
        payload = logits.payload
        if self._rows is not None:
            payload = PackedRows(payload.data.index_select(0, self._rows), payload.columns, payload.range)
        return payload.unpack().argmax(dim=1)
