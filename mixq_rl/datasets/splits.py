"""Random splits of nodes or graphs, from a seed."""

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.label_matrix import label_sets
from mixq_rl.datasets.task import Split
from mixq_rl.errors import InputError

__all__ = ["check_fold", "class_split", "fold_split", "fraction_split", "planetoid_split", "stratified_folds"]

_FOLD_SEED = 12345


def check_fold(name: str, fold: int | None, folds: int = 1) -> int:
    """Return ``fold``, or 0 for None.

    Raises:
        InputError: if the dataset ``name``, which has ``folds`` folds, does not have this fold.
    """
    if fold is None:
        return 0
    if not 0 <= fold < folds:
        there = f"folds 0...{folds - 1}" if folds > 1 else "one split: leave the fold out"
        raise InputError(f"{name} has no fold {fold}: it has {there}")
    return fold


def planetoid_split(y: Tensor, *, train_per_class: int, validation: int, test: int, seed: int) -> dict[Split, Tensor]:
    """Return masks of Planetoid's kind: training nodes of each class, and validation and test nodes among the others.

    Args:
        y: classes, int64 ``[nodes]``.
        train_per_class: number of training nodes of each class.
        validation: number of validation nodes.
        test: number of test nodes.
        seed: seed of the order of the nodes.
    """
    order = np.random.default_rng(seed).permutation(y.numel())
    labels = y.numpy()[order]
    train = np.concatenate([order[labels == label][:train_per_class] for label in range(int(y.max()) + 1)])
    rest = order[~np.isin(order, train)]
    return _masks(y.numel(), train, rest[:validation], rest[validation : validation + test])


def class_split(y: Tensor, *, train_per_class: int, validation_per_class: int, seed: int) -> dict[Split, Tensor]:
    """Return masks with fixed numbers of training and validation nodes of each class, and all others for the test.

    Source: Shchur et al., "Pitfalls of Graph Neural Network Evaluation", 2018, section 3.
    """
    order = np.random.default_rng(seed).permutation(y.numel())
    labels = y.numpy()[order]
    members = [order[labels == label] for label in range(int(y.max()) + 1)]
    held = train_per_class + validation_per_class
    return _masks(
        y.numel(),
        np.concatenate([group[:train_per_class] for group in members]),
        np.concatenate([group[train_per_class:held] for group in members]),
        np.concatenate([group[held:] for group in members]),
    )


def fraction_split(num_nodes: int, *, train: float, validation: float, seed: int) -> dict[Split, Tensor]:
    """Return masks with the shares ``train`` and ``validation`` of the nodes, and all others for the test."""
    order = np.random.default_rng(seed).permutation(num_nodes)
    first, second = round(train * num_nodes), round((train + validation) * num_nodes)
    return _masks(num_nodes, order[:first], order[first:second], order[second:])


def stratified_folds(y: Tensor, folds: int, seed: int = _FOLD_SEED) -> Tensor:
    """Return the fold of each row, int64 ``[rows]``.

    The sizes of the folds differ by at most one, and so do the numbers of rows of each class in them. For labels
    ``[rows, labels]``, rows with the same labels form a class.
    """
    rng = np.random.default_rng(seed)
    labels = (label_sets(y) if y.dim() == 2 else y).numpy()
    # Dealing the rows, sorted by class, to the folds in turn makes both even.
    turn = np.empty(labels.size, dtype=np.int64)
    turn[np.argsort(labels, kind="stable")] = np.arange(labels.size) % folds
    fold = np.empty_like(turn)
    for label in np.unique(labels):
        fold[labels == label] = rng.permutation(turn[labels == label])
    return torch.from_numpy(fold)


def fold_split(y: Tensor, *, folds: int, fold: int, seed: int = _FOLD_SEED) -> dict[Split, Tensor]:
    """Return masks of stratified cross-validation: ``fold`` for the test, the next fold for validation."""
    fold_of = stratified_folds(y, folds, seed)
    test, validation = fold_of == fold, fold_of == (fold + 1) % folds
    return {"train": ~(test | validation), "validation": validation, "test": test}


def _masks(num_nodes: int, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> dict[Split, Tensor]:
    masks: dict[Split, Tensor] = {}
    parts: tuple[tuple[Split, np.ndarray], ...] = (("train", train), ("validation", validation), ("test", test))
    for split, nodes in parts:
        masks[split] = torch.zeros(num_nodes, dtype=torch.bool)
        masks[split][torch.from_numpy(nodes)] = True
    return masks
