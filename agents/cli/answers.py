"""Classes or labels that a network answers, block by block."""

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mixq_rl.datasets.metrics import Metric
from mixq_rl.datasets.prediction_inputs import KnownLabels
from mixq_rl.integer.model import IntegerModel

__all__ = ["Answers"]


class Answers:
    """Answers of a network for nodes or graphs.

    Args:
        network: the network.
        inputs: what it answers about, with the labels if they are known.
        keeps: whether the answers are kept, for a document of JSON.

    Attributes:
        count: number of nodes or graphs that were answered.
        kept: ``classes``, or ``labels`` and ``probabilities``, if they are kept.
    """

    def __init__(self, network: IntegerModel, inputs: KnownLabels, *, keeps: bool) -> None:
        self._network, self._inputs, self._keeps = network, inputs, keeps
        self._measured = inputs.measured
        self._logits: list[Tensor] = []
        self.count = 0
        self.kept: dict[str, list[Any]] = {}

    def append(self, rows: range, logits: Tensor, file: BinaryIO | None) -> None:
        """Append the answers for the next nodes or graphs.

        Args:
            rows: their numbers.
            logits: ``[rows, classes]``, on the CPU.
            file: CSV file that the answers are written to, with a header before the first; None: nowhere.
        """
        if self._measured is not None:
            self._logits.append(logits[self._measured[rows.start : rows.stop]])
        if self._keeps or file is not None:
            answers = self._of(logits)
            if self._keeps:
                for name, values in answers.items():
                    self.kept.setdefault(name, []).extend(values)
            if file is not None:
                file.write(self._csv(answers).encode())
        self.count += len(rows)

    def scores(self, metric: Metric) -> dict[str, float]:
        """Return the value of a metric on each split of the labels, in [0, 1]; empty without labels.

        Raises:
            InvalidGraphError: as in :meth:`~mixq_rl.datasets.prediction_inputs.KnownLabels.scores`.
        """
        if self._measured is None:
            return {}
        return self._inputs.only(self._measured).scores(torch.cat(self._logits), metric)

    def _of(self, logits: Tensor) -> dict[str, list[Any]]:
        """Return the class of each row, or its labels and the probabilities of all labels."""
        if not self._network.multi_label:
            classes, names = logits.argmax(dim=1).tolist(), self._network.classes
            return {"classes": classes if names is None else [names[answer] for answer in classes]}
        labels = [row.nonzero()[:, 0].tolist() for row in logits > 0]
        return {"labels": labels, "probabilities": logits.double().sigmoid().tolist()}

    def _csv(self, answers: dict[str, list[Any]]) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if self.count == 0:
            writer.writerow([self._inputs.noun, *self._columns(answers)])
        writer.writerows(self._lines(answers))
        return text.getvalue()

    def _columns(self, answers: dict[str, list[Any]]) -> list[str]:
        if "classes" in answers:
            return ["class"]
        return ["labels", *(f"probability {label}" for label in range(len(answers["probabilities"][0])))]

    def _lines(self, answers: dict[str, list[Any]]) -> Iterator[list[Any]]:
        if "classes" in answers:
            for row, answer in enumerate(answers["classes"], start=self.count):
                yield [row, answer]
            return
        pairs = zip(answers["labels"], answers["probabilities"], strict=True)
        for row, (labels, shares) in enumerate(pairs, start=self.count):
            yield [row, " ".join(map(str, labels)), *(f"{share:.6f}" for share in shares)]
