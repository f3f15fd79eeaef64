"""Labels in the forms that files hold them in, as the labels of a task."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.datasets.label_matrix import has_label
from mixq_rl.datasets.messages import in_one_line, listed
from mixq_rl.errors import InvalidGraphError

__all__ = ["Labels", "read_labels"]

_UNLABELLED = -1
_MARKS = {-1, -100}  # -100 is the class that PyTorch's losses leave out
_CERTAIN_CLASSES = 20  # so few different numbers are classes, however few rows there are
_LARGEST_EXACT = 2**53
_SUM_OF_PROBABILITIES = 1e-3


@dataclass(frozen=True)
class Labels:
    """Labels of the nodes or graphs of a task.

    Attributes:
        y: classes 0, 1, 2, ..., -1 for rows without a label, int64 ``[rows]``; or, of a multi-label task, zeros and
            ones, NaN for labels that are not known, float32 ``[rows, labels]``.
        class_names: names of the classes in the file; None: 0, 1, 2, ...
        notes: what was done to the labels, a line each.
    """

    y: Tensor
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> Tensor:
        """Whether each row has a label, bool ``[rows]``."""
        return has_label(self.y)


def read_labels(
    y: Tensor, rows: int, noun: str, *, marked: Tensor | None = None, texts: Sequence[str] | None = None
) -> Labels:
    """Return the labels that a tensor of a file means.

    Classes may be integers, whole numbers in floating point, booleans, or one-hot rows, with further dimensions of
    size 1. Other numbers than 0, 1, 2, ... are renumbered. A matrix of zeros and ones whose rows are not one-hot is
    multi-label. NaN is no label. -1 and -100 are no labels unless all numbers are -1 and 1, or other numbers are
    negative too. Outside all masks every negative number is no label.

    Args:
        y: real tensor with a row for each node or graph.
        rows: number of nodes or graphs.
        noun: ``"node"`` or ``"graph"``, for messages.
        marked: rows in any mask of the file, bool ``[rows]``; None: the file has no masks.
        texts: the classes in words, if ``y`` holds their numbers.

    Raises:
        InvalidGraphError: if the labels are of another shape, or of a task that is not supported.
    """
    shape, notes = list(y.shape), []
    if y.dim() > 1 and y.numel() == rows == max(shape):
        y = y.reshape(rows)
        notes.append(f"y {shape} was read as [{rows}]")
    if y.dim() not in (1, 2) or len(y) != rows or not y.numel():
        raise InvalidGraphError(f"y has shape {shape}, but there are {rows} {noun}s: each needs one label")
    if y.dim() == 2:
        one_hot = _one_hot(y, noun, marked)
        if one_hot is None:
            line = f"y {shape} of zeros and ones was read as {shape[1]} labels of each {noun} (multi-label)"
            return Labels(y.to(torch.float32), notes=(line,))
        y, known = one_hot
        notes.append(f"y {shape} was one-hot: its columns were read as classes")
    elif y.is_floating_point():
        notes.append(f"y held whole numbers as {str(y.dtype).removeprefix('torch.')}: they were read as classes")
        y, known = _whole(y, noun)
    else:
        y, known = y.long(), torch.ones(rows, dtype=torch.bool)
    known = known & ~_marks(y, marked)
    if not bool(known.any()):
        raise InvalidGraphError(f"no {noun} has a label: give y a class 0, 1, 2, ... for some of them")
    if rows > (count := int(known.sum())):
        notes.append(f"{rows - count} of {rows} {noun}s have no label: they are in no split" + _use(noun))
    return _numbered(y, known, noun, texts, notes)


def _use(noun: str) -> str:
    return ", and take part as neighbours only" if noun == "node" else ""


def _whole(y: Tensor, noun: str) -> tuple[Tensor, Tensor]:
    """Return whole numbers as int64, and which of them are no NaN."""
    known = ~y.isnan()
    values = torch.where(known, y, 0)
    if not bool(torch.isfinite(values).all()):
        raise InvalidGraphError("y holds infinity: give classes 0, 1, 2, ...")
    if not bool((values == values.round()).all()):
        raise _regression("y holds real numbers", noun)
    if float(values.double().abs().max()) > _LARGEST_EXACT:
        raise InvalidGraphError(f"y reaches {float(values.abs().max()):.3g}: give classes 0, 1, 2, ... as integers")
    return values.long(), known


def _regression(what: str, noun: str) -> InvalidGraphError:
    return InvalidGraphError(
        f"{what}: regression is not supported; give classes 0, 1, 2, ... of the {noun}s, such as intervals of the "
        "numbers by torch.bucketize"
    )


def _one_hot(y: Tensor, noun: str, marked: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return the classes of one-hot rows, and which rows have one; None for rows of several labels.

    Rows outside all masks need not have a one.
    """
    gaps = y.isnan() if y.is_floating_point() else torch.zeros_like(y, dtype=torch.bool)
    ones = y == 1
    if not bool((ones | (y == 0) | gaps).all()):
        raise _no_labels(y, gaps, noun)
    absent, count = gaps.all(dim=1), ones.sum(dim=1)
    needed = ~absent if marked is None else marked & ~absent
    is_one_hot = bool(needed.any()) and bool((count[needed] == 1).all()) and not bool((count > 1).any())
    if not is_one_hot or bool(gaps[~absent].any()):
        return None
    return ones.to(torch.uint8).argmax(dim=1), count == 1


def _no_labels(y: Tensor, gaps: Tensor, noun: str) -> InvalidGraphError:
    """Return the error about a matrix of other values than zeros and ones."""
    known, shape = y[~gaps], list(y.shape)
    if bool(((known == 0) | (known == 1) | (known == -1)).all()):
        return InvalidGraphError(f"y {shape} holds -1 beside 0 and 1: give 0 and 1, and NaN where a label is not known")
    is_share = not bool(gaps.any()) and bool(((known >= 0) & (known <= 1)).all())
    if is_share and bool(((y.double().sum(dim=1) - 1).abs() < _SUM_OF_PROBABILITIES).all()):
        return InvalidGraphError(f"y {shape} holds probabilities: give the classes, y.argmax(dim=1)")
    if y.is_floating_point() and not bool((known == known.round()).all()):
        return _regression(f"y {shape} holds real numbers", noun)
    return InvalidGraphError(
        f"y {shape} holds {shape[1]} numbers for each {noun}, which are not all 0 or 1: choose a column, y[:, 0]"
    )


def _marks(y: Tensor, marked: Tensor | None) -> Tensor:
    """Return which rows have a negative number that stands for no label."""
    negative = y < 0
    if not bool(negative.any()) or (marked is not None and not bool((negative & marked).any())):
        return negative
    marks = set(y[negative].unique()[: len(_MARKS) + 1].tolist())
    is_class = not marks <= _MARKS or set(y.unique()[:3].tolist()) == {-1, 1}
    return torch.zeros_like(negative) if is_class else negative


def _numbered(y: Tensor, known: Tensor, noun: str, texts: Sequence[str] | None, notes: list[str]) -> Labels:
    """Return the labels with classes 0, 1, 2, ..., and the names of classes that the file calls otherwise."""
    numbers = y[known].unique()
    count = numbers.numel()
    if texts is None and count > max(_CERTAIN_CLASSES, int(known.sum()) // 2):
        raise _regression(f"y holds {count} different numbers for {int(known.sum())} {noun}s", noun)
    classes = torch.where(known, torch.searchsorted(numbers, y.contiguous()), _UNLABELLED)
    if texts is None and int(numbers[0]) == 0 and int(numbers[-1]) == count - 1:
        return Labels(classes, notes=tuple(notes))
    names = [str(number) if texts is None else in_one_line(texts[number]) for number in numbers.tolist()]
    notes.append(f"classes {listed(names)} were numbered 0...{count - 1}; predict writes their names")
    return Labels(classes, tuple(names), tuple(notes))
