"""Metrics of predictions, and their registry."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.registry import Registry

__all__ = ["ACCURACY", "Metric", "default_metric", "fitting", "metrics"]


@dataclass(frozen=True)
class Metric:
    """A measure of predictions, in [0, 1]; higher is better. It is shown in points of 100, like a percentage.

    Labels are classes, int64 ``[rows]``, or 0, 1 and NaN for each label, float32 ``[rows, labels]`` (multi-label).
    Entries with NaN are left out. A mean over classes or labels leaves out those that it cannot be computed for, so
    that no value is NaN: classes and labels without a positive row, and for the ROC-AUC those without a negative row.

    Attributes:
        name: name in options and files: ``"roc-auc"``.
        title: name in tables and figures: ``"ROC-AUC"``.
        single_label: whether the metric measures classes.
        multi_label: whether the metric measures several labels for each row.
        score: returns the value for logits, ``[rows, classes]`` or ``[rows, labels]``, and labels.
        constant: returns the greatest value that one prediction for all rows has for these labels.
        baseline: name of that prediction: ``"majority class"``.
    """

    name: str
    title: str
    single_label: bool
    multi_label: bool
    score: Callable[[Tensor, Tensor], float]
    constant: Callable[[Tensor], float]
    baseline: str = "constant prediction"

    @property
    def heading(self) -> str:
        """The title at the beginning of a text."""
        return self.title[:1].upper() + self.title[1:]

    def fits(self, multi_label: bool) -> bool:
        """Return whether the metric measures the predictions of a task."""
        return self.multi_label if multi_label else self.single_label


metrics: Registry[Metric] = Registry("metric")


def default_metric(multi_label: bool) -> str:
    """Return the name of the metric of a task that names none: accuracy, or ROC-AUC for several labels."""
    return "roc-auc" if multi_label else "accuracy"


def fitting(name: str, multi_label: bool) -> Metric:
    """Return the metric with a name.

    Raises:
        UnknownNameError: for an unknown name.
        InputError: if it does not measure such predictions; the message names the metrics that do.
    """
    metric = metrics[name]
    if not metric.fits(multi_label):
        others = ", ".join(other for other in metrics if metrics[other].fits(multi_label))
        task = "several labels" if multi_label else "one class"
        raise InputError(f"metric {metric.name} does not measure predictions of {task}: choose one of {others}")
    return metric


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return int((logits.argmax(dim=1) == y).sum()) / y.numel()


def _balanced_accuracy(logits: Tensor, y: Tensor) -> float:
    with _library() as library:
        recalls = library.recall_score(*_classes(logits, y), labels=_present(y), average="macro", zero_division=0)
    return float(recalls)


def _macro_f1(logits: Tensor, y: Tensor) -> float:
    with _library() as library:
        if y.dim() == 1:
            return float(library.f1_score(*_classes(logits, y), labels=_present(y), average="macro", zero_division=0))
        columns = ((known, predicted > 0) for known, predicted in _columns(logits, y) if bool(known.any()))
        return _mean(library.f1_score(known.numpy(), predicted.numpy()) for known, predicted in columns)


def _micro_f1(logits: Tensor, y: Tensor) -> float:
    if y.dim() == 1:  # with one class for each row, every error is a false positive and a false negative
        return _accuracy(logits, y)
    known = ~y.isnan()
    labels, predictions = (y[known] > 0).cpu(), (logits[known] > 0).cpu()
    if not bool(labels.any()):  # no label is known, or none is positive
        return 0.0
    with _library() as library:
        return float(library.f1_score(labels.numpy(), predictions.numpy()))


def _roc_auc(logits: Tensor, y: Tensor) -> float:
    with _library() as library:
        columns = _columns(logits, y) if y.dim() == 2 else _one_against_others(logits, y)
        separable = ((known, values) for known, values in columns if bool(known.any()) and not bool(known.all()))
        return _mean((library.roc_auc_score(known.numpy(), values.numpy()) for known, values in separable), empty=0.5)


def _columns(logits: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield whether each known entry of a label is positive, and its logit, on the CPU."""
    logits, y = logits.double().cpu(), y.cpu()
    for label, values in zip(y.T, logits.T, strict=True):
        known = ~label.isnan()
        yield label[known] > 0, values[known]


def _one_against_others(logits: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield whether each row is of a class, and the log odds of that class, on the CPU.

    The log odds have the order of the softmax probabilities, and do not round to 0 and 1 as these do.
    """
    logits, y = logits.double().cpu(), y.cpu()
    logits = logits - logits.amax(dim=1, keepdim=True)
    for label in range(logits.shape[1]):
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
        # Sorted, because the rounding of a sum depends on the order: equal probabilities have equal log odds.
        yield y == label, logits[:, label] - others.sort(dim=1).values.logsumexp(dim=1)


def _classes(logits: Tensor, y: Tensor) -> tuple[object, object]:
    return y.cpu().numpy(), logits.argmax(dim=1).cpu().numpy()


def _present(y: Tensor) -> list[int]:
    found: list[int] = y.unique().tolist()
    return found


def _mean(values: Iterable[float], empty: float = 0.0) -> float:
    found = [float(value) for value in values]
    return sum(found) / len(found) if found else empty


@contextmanager
def _library() -> Iterator[ModuleType]:
    """Give scikit-learn's metrics. Their inputs were checked with the task, and are not checked again in each call."""
    # Here: the import takes a second, and most tasks are measured by accuracy.
    import sklearn
    from sklearn import metrics as library

    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        yield library


def _majority(y: Tensor) -> float:
    return float(torch.bincount(y).max()) / y.numel()


def _share_of_classes(y: Tensor) -> float:
    return 1 / len(_present(y))


def _constant_macro_f1(y: Tensor) -> float:
    if y.dim() == 1:
        return _f1_of_all(_majority(y)) / len(_present(y))
    return _mean(_f1_of_all(float(known.double().mean())) for known, _ in _columns(y, y) if bool(known.any()))


def _constant_micro_f1(y: Tensor) -> float:
    if y.dim() == 1:
        return _majority(y)
    known = [known for known, _ in _columns(y, y) if known.numel()]
    # The best set of labels for all rows holds the k most frequent ones, for some k.
    known.sort(key=lambda label: -float(label.double().mean()))
    positive = torch.tensor([int(label.sum()) for label in known])
    rows = torch.tensor([label.numel() for label in known])
    total = int(positive.sum())
    return float((2 * positive.cumsum(0) / (rows.cumsum(0) + total)).max()) if total else 0.0


def _f1_of_all(share: float) -> float:
    """Return the F1 score of predicting every row as positive, for a share of positive rows."""
    return 2 * share / (1 + share)


ACCURACY = Metric("accuracy", "accuracy", True, False, _accuracy, _majority, "majority class")
"""Share of the rows whose class has the greatest logit."""

for _metric in (
    ACCURACY,
    Metric("balanced-accuracy", "balanced accuracy", True, False, _balanced_accuracy, _share_of_classes),
    Metric("macro-f1", "macro F1", True, True, _macro_f1, _constant_macro_f1),
    Metric("micro-f1", "micro F1", True, True, _micro_f1, _constant_micro_f1),
    Metric("roc-auc", "ROC-AUC", True, True, _roc_auc, lambda y: 0.5),
):
    metrics.register(_metric.name)(_metric)
