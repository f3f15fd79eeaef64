"""Splits from the masks of a file: of several columns, as indices, or only some of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.datasets.splits import check_fold, fold_split, fraction_split
from mixq_rl.datasets.task import Split
from mixq_rl.errors import InvalidGraphError

__all__ = ["MASKS", "Masks", "complete_splits", "drawn_splits", "read_masks"]

MASKS: dict[Split, tuple[str, ...]] = {
    "train": ("train_mask", "train_idx", "train_index"),
    "validation": ("val_mask", "valid_mask", "validation_mask", "val_idx", "valid_idx", "val_index"),
    "test": ("test_mask", "test_idx", "test_index"),
}
"""Names of the entries of each split, of which the first that a file has is read."""

_SHARES: dict[Split, float] = {"train": 0.6, "validation": 0.2, "test": 0.2}
_SPLIT_SEED = 0
_FEWEST_NODES = 5
_FOLDS = 10


@dataclass(frozen=True)
class Masks:
    """Masks that a file gives.

    Attributes:
        splits: the masks of the chosen fold, bool ``[rows]``.
        marked: rows in any mask of any fold, bool ``[rows]``; None: there are no masks.
        notes: what was done to the masks, a line each.
    """

    splits: dict[Split, Tensor]
    marked: Tensor | None = None
    notes: tuple[str, ...] = ()


def read_masks(name: str, entries: Mapping[str, Tensor], rows: int, noun: str, fold: int | None) -> Masks:
    """Return the masks in a file. Masks ``[rows, splits]`` are those of several folds.

    Args:
        name: name of the file, for messages.
        entries: entries of the file; :data:`MASKS` names the masks among them.
        rows: number of nodes or graphs.
        noun: ``"node"`` or ``"graph"``, for messages.
        fold: number of the fold; None: the first. It is not checked if there are no masks.

    Raises:
        InvalidGraphError: for a mask with other values than false and true, or of another shape.
        InputError: for a fold that the file does not have.
    """
    notes: list[str] = []
    given: dict[Split, Tensor] = {}
    for split, names in MASKS.items():
        entry = next((entry for entry in names if entry in entries), None)
        if entry is not None:
            given[split] = _mask(entries[entry], split, entry, rows, noun, notes)
    if not given:
        return Masks({})
    counts = {mask.shape[1] for mask in given.values() if mask.dim() == 2}
    if len(counts) > 1:
        several = ", ".join(f"{split} {mask.shape[1]}" for split, mask in given.items() if mask.dim() == 2)
        raise InvalidGraphError(f"the masks have different numbers of columns, one for each split: {several}")
    folds = counts.pop() if counts else 1
    chosen = check_fold(name, fold, folds)
    if folds > 1 and fold is None:
        notes.append(f"the masks hold {folds} splits: the first is used, --fold 0...{folds - 1} chooses one")
    columns = [mask if mask.dim() == 1 else mask.any(dim=1) for mask in given.values()]
    splits = {split: mask if mask.dim() == 1 else mask[:, chosen] for split, mask in given.items()}
    return Masks(splits, torch.stack(columns).any(dim=0), tuple(notes))


def _mask(entry: Tensor, split: Split, name: str, rows: int, noun: str, notes: list[str]) -> Tensor:
    """Return a mask, bool ``[rows]`` or ``[rows, splits]`` with more than one split."""
    is_flag = bool(((entry == 0) | (entry == 1)).all())
    if name.endswith("_mask") and is_flag:
        if entry.dim() == 2 and entry.shape[1] == rows != entry.shape[0]:
            entry = entry.t()
            notes.append(f"{name} {list(entry.t().shape)} was read as {list(entry.shape)}")
        mask = entry.bool()
        if mask.dim() == 2 and mask.shape[1] == 1:
            mask = mask[:, 0]
        if mask.dim() not in (1, 2) or len(mask) != rows or not mask.numel():
            raise InvalidGraphError(
                f"the {split} mask must be boolean, one entry for each of {rows} {noun}s, not of shape "
                f"{list(entry.shape)}"
            )
        return mask
    if entry.dim() != 1 or entry.is_floating_point() or entry.dtype == torch.bool or _is_repeated(entry):
        raise InvalidGraphError(
            f"{name} holds other values than false and true"
            if name.endswith("_mask")
            else f"{name} must hold the numbers of {noun}s, each once"
        )
    entry = entry.long()
    if entry.numel() and (int(entry.min()) < 0 or int(entry.max()) >= rows):
        worst = int(entry.min()) if int(entry.min()) < 0 else int(entry.max())
        raise InvalidGraphError(f"{name} names {noun} {worst}, but there are {noun}s 0...{rows - 1}")
    if name.endswith("_mask"):
        notes.append(f"{name} was read as the numbers of {entry.numel()} {noun}s")
    return torch.zeros(rows, dtype=torch.bool).index_fill(0, entry, True)


def _is_repeated(entry: Tensor) -> bool:
    return entry.unique().numel() < entry.numel()


def drawn_splits(name: str, y: Tensor, known: Tensor, noun: str, fold: int | None) -> dict[Split, Tensor]:
    """Return the splits of a file without masks: of nodes 60/20/20, of graphs ten stratified folds.

    Args:
        name: name of the file, for messages.
        y: classes, int64 ``[rows]``, or labels ``[rows, labels]``.
        known: rows with a label, bool ``[rows]``, which are split.
        noun: ``"node"`` or ``"graph"``.
        fold: number of the fold; None: the first.

    Raises:
        InvalidGraphError: if too few rows have a label.
        InputError: for a fold that the file does not have.
    """
    rows = known.nonzero()[:, 0]
    fewest = _FOLDS if noun == "graph" else _FEWEST_NODES
    if rows.numel() < fewest:
        labelled = f"{noun}s" if rows.numel() == known.numel() else f"{noun}s with a label"
        raise InvalidGraphError(f"{rows.numel()} {labelled} are too few to be split: give train_mask, ...")
    if noun == "node":
        check_fold(name, fold)
        splits = fraction_split(rows.numel(), train=0.6, validation=0.2, seed=_SPLIT_SEED)
    else:
        splits = fold_split(y[rows], folds=_FOLDS, fold=check_fold(name, fold, _FOLDS))
    return {split: _among(rows[mask], known.numel()) for split, mask in splits.items()}


def complete_splits(given: Mapping[Split, Tensor], known: Tensor, noun: str) -> tuple[dict[Split, Tensor], list[str]]:
    """Return all three splits: the given masks without rows that have no label, and drawn ones for the others.

    A missing split takes its share of the labelled rows that are in no mask. Where these are too few, validation takes
    a fifth of the training rows.

    Args:
        given: some or all masks, at least one, bool ``[rows]``.
        known: rows with a label, bool ``[rows]``.
        noun: ``"node"`` or ``"graph"``.

    Returns:
        The splits, and what was done, a line each.

    Raises:
        InvalidGraphError: if a given mask has no labelled row, or no rows are left for a missing one.
    """
    notes = []
    masks: dict[Split, Tensor] = {}
    for split, mask in given.items():
        if split != "train" and not bool(mask.any()):
            notes.append(f"the {split} mask is empty: taken as missing")
            continue
        masks[split] = mask & known
        if bool(mask.any()) and not bool(masks[split].any()):
            raise InvalidGraphError(f"no {noun} of the {split} mask has a label")
        if left := int((mask & ~known).sum()):
            notes.append(f"{left} {noun}s without a label leave the {split} mask")
    missing = [split for split in MASKS if split not in masks]
    if not missing:
        return {split: masks[split] for split in MASKS}, notes
    free = (known & ~torch.stack(list(masks.values())).any(dim=0)).nonzero()[:, 0]
    if "validation" in missing and "train" in masks and free.numel() < _FEWEST_NODES * (len(missing) - 1) + 1:
        training = masks["train"].nonzero()[:, 0]
        order = training[torch.randperm(training.numel(), generator=torch.Generator().manual_seed(_SPLIT_SEED))]
        if training.numel() == 1:
            raise InvalidGraphError(f"one training {noun} is too few to draw a validation mask from: give val_mask")
        count = max(1, round(_SHARES["validation"] * training.numel()))
        masks["validation"] = _among(order[:count], known.numel())
        masks["train"] = _among(order[count:], known.numel())
        notes.append(f"no validation mask: {count} of the training {noun}s were drawn for validation")
        missing.remove("validation")
    if missing:
        masks |= _shared_out(free, missing, known.numel(), noun)
        drawn = ", ".join(f"{int(masks[split].sum())} for {split}" for split in missing)
        notes.append(f"no {' and no '.join(missing)} mask: of the {noun}s in no mask {drawn} were drawn")
    return {split: masks[split] for split in MASKS}, notes


def _shared_out(free: Tensor, missing: list[Split], rows: int, noun: str) -> dict[Split, Tensor]:
    """Return masks that share out the free rows in the proportion 60/20/20."""
    if free.numel() < len(missing):
        raise InvalidGraphError(
            f"no {noun}s are left for the {' and the '.join(missing)} mask: the given masks hold all with a label"
        )
    order = free[torch.randperm(free.numel(), generator=torch.Generator().manual_seed(_SPLIT_SEED))]
    whole = sum(_SHARES[split] for split in missing)
    ends = [round(sum(_SHARES[split] for split in missing[:n]) / whole * free.numel()) for n in range(len(missing) + 1)]
    ends = [min(max(end, n), free.numel() - len(missing) + n) for n, end in enumerate(ends)]  # none is empty
    return {split: _among(order[ends[n] : ends[n + 1]], rows) for n, split in enumerate(missing)}


def _among(chosen: Tensor, rows: int) -> Tensor:
    return torch.zeros(rows, dtype=torch.bool).index_fill(0, chosen, True)
