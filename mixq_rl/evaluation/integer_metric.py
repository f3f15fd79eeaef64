"""Value of a task's metric from integer logits, for many networks at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.datasets.metrics import ACCURACY
from mixq_rl.quantization import PackedRows, QTensor

__all__ = ["IntegerMetric", "predicted_classes"]


def predicted_classes(logits: QTensor, rows: Tensor | None = None) -> Tensor:
    """Return the class of the greatest logit of each row, int64 ``[rows]``, on the device of the logits.

    Args:
        logits: integer logits, ``[nodes, classes]`` or ``[graphs, classes]``.
        rows: indices of the rows that are looked at; None: all.
    """
    if logits.row is not None or logits.scale.dim():
        return _selected(logits, rows).argmax(dim=1)
    # With one positive scale and one zero point the integers have the same order as the real numbers.
    payload = logits.payload
    if rows is not None:
        payload = PackedRows(payload.data.index_select(0, rows), payload.columns, payload.range)
    return payload.unpack().argmax(dim=1)


def _selected(logits: QTensor, rows: Tensor | None) -> Tensor:
    real = logits.dequantize()
    return real if rows is None else real.index_select(0, rows)


class IntegerMetric:
    """Value of a task's metric from integer logits, equal to that of :meth:`GraphTask.score` for the real logits.

    Accuracy is counted from the integers, on their device. Other metrics are computed from the dequantized integers.

    Args:
        task: task with the labels and the metric.
        split: split whose nodes (graphs) are measured.
    """

    def __init__(self, task: GraphTask, split: Split) -> None:
        inputs = task.inputs(split)
        # The rows of a graph task's inputs are the graphs of the split.
        self._rows = inputs.labelled if task.kind == "node" else None
        self._labels = task.y[task.masks[split]]
        self._metric = task.measure

    def measure(self, logits: QTensor) -> Tensor:
        """Return what :meth:`of` takes: for accuracy the number of correct predictions, int64 ``[]``.

        That number stays on the device of the logits, and is not waited for.

        Args:
            logits: integer logits, ``[nodes, classes]``, or ``[graphs of the split, classes]``.
        """
        if self._metric is ACCURACY:
            return torch.count_nonzero(predicted_classes(logits, self._rows) == self._labels)
        return torch.tensor(self._metric.score(_selected(logits, self._rows), self._labels), dtype=torch.float64)

    def of(self, measured: Sequence[Tensor]) -> list[float]:
        """Return the metric's values, in [0, 1], from results of :meth:`measure`, copied from the device at once."""
        if not measured:
            return []
        count = self._labels.numel() if self._metric is ACCURACY else 1
        return [each / count for each in torch.stack(list(measured)).tolist()]
