"""Accuracy of integer logits, counted on their device and fetched for many networks at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.quantization import PackedRows, QTensor

__all__ = ["IntegerAccuracy"]


class IntegerAccuracy:
    """Accuracy of integer logits, equal to that of :meth:`GraphTask.accuracy` for the real logits.

    Args:
        task: task with the labels.
        split: split whose nodes (graphs) are counted.
    """

    def __init__(self, task: GraphTask, split: Split) -> None:
        inputs = task.inputs(split)
        # The rows of a graph task's inputs are the graphs of the split.
        self._rows = inputs.labelled if task.kind == "node" else None
        self._labels = task.y[task.masks[split]]

    def correct(self, logits: QTensor) -> Tensor:
        """Return the number of correct predictions, int64 ``[]``, on the device of the logits, without waiting for it.

        Args:
            logits: integer logits, ``[nodes, classes]``, or ``[graphs of the split, classes]``.
        """
        return torch.count_nonzero(self._greatest(logits) == self._labels)

    def of(self, correct: Sequence[Tensor]) -> list[float]:
        """Return the accuracies, in [0, 1], from results of :meth:`correct`, copied from the device at once."""
        if not correct:
            return []
        count = self._labels.numel()
        return [right / count for right in torch.stack(list(correct)).tolist()]

    def _greatest(self, logits: QTensor) -> Tensor:
        if logits.row is not None or logits.scale.dim():
            real = logits.dequantize()
            return (real if self._rows is None else real.index_select(0, self._rows)).argmax(dim=1)
        # With one positive scale and one zero point the integers have the same order as the real numbers.
        payload = logits.payload
        if self._rows is not None:
            payload = PackedRows(payload.data.index_select(0, self._rows), payload.columns, payload.range)
        return payload.unpack().argmax(dim=1)
