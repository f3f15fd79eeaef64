"""Splits of nodes, drawn from a seed."""

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.task import Split

__all__ = ["fraction_split", "planetoid_split"]


def planetoid_split(y: Tensor, *, train_per_class: int, validation: int, test: int, seed: int) -> dict[Split, Tensor]:
    """Return masks with so many training nodes of each class and so many validation and test nodes of the rest."""
    order = np.random.default_rng(seed).permutation(y.numel())
    labels = y.numpy()[order]
    train = np.concatenate([order[labels == label][:train_per_class] for label in range(int(y.max()) + 1)])
    rest = order[~np.isin(order, train)]
    return _masks(y.numel(), train, rest[:validation], rest[validation : validation + test])


def fraction_split(num_nodes: int, *, train: float, validation: float, seed: int) -> dict[Split, Tensor]:
    """Return masks with these shares of the nodes for training and validation, the rest for the test."""
    order = np.random.default_rng(seed).permutation(num_nodes)
    first, second = round(train * num_nodes), round((train + validation) * num_nodes)
    return _masks(num_nodes, order[:first], order[first:second], order[second:])


def _masks(num_nodes: int, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> dict[Split, Tensor]:
    masks: dict[Split, Tensor] = {}
    parts: tuple[tuple[Split, np.ndarray], ...] = (("train", train), ("validation", validation), ("test", test))
    for split, nodes in parts:
        masks[split] = torch.zeros(num_nodes, dtype=torch.bool)
        masks[split][torch.from_numpy(nodes)] = True
    return masks
