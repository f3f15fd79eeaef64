"""Edges and their weights in the forms that files hold them in, as those of a task."""

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError

__all__ = ["read_edge_index", "read_edge_weight", "weight_of_attributes"]


def read_edge_index(edge_index: Tensor, num_nodes: int, notes: list[str]) -> Tensor:
    """Return sources and targets, int64 ``[2, edges]``, unless they are refused by later checks of shape and dtype.

    Args:
        edge_index: integers, or whole numbers in floating point, ``[2, edges]`` or ``[edges, 2]``.
        num_nodes: number of nodes.
        notes: takes a line about what was done.

    Raises:
        InvalidGraphError: for an adjacency matrix, or nodes that are numbered from 1.
    """
    shape = list(edge_index.shape)
    if not edge_index.numel() and edge_index.dim() <= 2:
        return torch.zeros((2, 0), dtype=torch.int64)
    if edge_index.dim() == 2 and shape[0] == shape[1] == num_nodes and num_nodes > 2:
        raise InvalidGraphError(
            f"edge_index {shape} is an adjacency matrix: give the sources and targets of the edges, "
            "adjacency.nonzero().t()"
        )
    if edge_index.dim() == 2 and shape[1] == 2 != shape[0]:
        edge_index = edge_index.t().contiguous()
        notes.append(f"edge_index {shape} was read as [2, {shape[0]}]")
    if edge_index.is_floating_point():
        if not bool((edge_index == edge_index.round()).all()):
            return edge_index  # its dtype is refused
        notes.append(f"edge_index held whole numbers as {_name(edge_index)}: they were read as nodes")
    edge_index = edge_index.long()
    if edge_index.dim() == 2 and int(edge_index.min()) == 1 and int(edge_index.max()) == num_nodes:
        raise InvalidGraphError(f"edge_index numbers the nodes 1...{num_nodes}: subtract 1, nodes are counted from 0")
    return edge_index


def read_edge_weight(edge_weight: Tensor, notes: list[str]) -> Tensor:
    """Return weights as float32, ``[edges, 1]`` as ``[edges]``, with a line about it among ``notes``."""
    if edge_weight.dim() > 1 and edge_weight.numel() == len(edge_weight):
        notes.append(f"edge_weight {list(edge_weight.shape)} was read as [{len(edge_weight)}]")
        edge_weight = edge_weight.reshape(-1)
    return edge_weight.float()


def weight_of_attributes(edge_attr: Tensor, num_edges: int, notes: list[str]) -> Tensor | None:
    """Return edge attributes as weights, float32 ``[edges]``; None if they are not one positive number for each edge.

    Either way ``notes`` takes a line about it.
    """
    shape = list(edge_attr.shape)
    if edge_attr.numel() != num_edges or not num_edges or edge_attr.dim() not in (1, 2) or len(edge_attr) != num_edges:
        notes.append(f"edge_attr {shape} is not used: a layer takes one positive weight for each edge, or none")
        return None
    weight = edge_attr.reshape(-1).float()
    if not bool(((weight > 0) & torch.isfinite(weight)).all()):
        notes.append(
            f"edge_attr {shape} is not used, because not all of it is positive: give it as edge_weight if meant"
        )
        return None
    notes.append(f"edge_attr {shape} was read as edge_weight, because there is none")
    return weight


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
