"""Checks of the features that a user gives to an integer network."""

import torch
from torch import Tensor

from mixq_rl.errors import InputError

__all__ = ["check_features"]


def check_features(x: Tensor, num_features: int | None) -> None:
    """Check layout, dtype and shape of node features.

    Args:
        x: the features.
        num_features: number of features of a node; None: any number.

    Raises:
        InputError: if they are not floating point ``[nodes, num_features]``, dense or sparse (CSR or COO).
    """
    if x.layout not in (torch.strided, torch.sparse_csr, torch.sparse_coo):
        raise InputError(f"features are {x.layout}: give them dense, torch.sparse_csr or torch.sparse_coo")
    if not x.is_floating_point():
        raise InputError(f"features are {x.dtype}: convert them to a floating-point dtype")
    if x.dim() != 2:
        raise InputError(f"features are of shape {list(x.shape)}: give them as [nodes, features]")
    if num_features is not None and x.shape[1] != num_features:
        raise InputError(
            f"{x.shape[1]} features a node where the model takes {num_features}: "
            f"give those that it was trained on, in their order"
        )
