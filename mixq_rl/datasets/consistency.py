"""Consistency checks of the tensors of a task."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixq_rl.conditions import check_finite
from mixq_rl.datasets.label_matrix import has_label
from mixq_rl.edges import check_edge_index
from mixq_rl.errors import InvalidGraphError

__all__ = [
    "check_arbitrary_sign",
    "check_batch",
    "check_class_names",
    "check_edges",
    "check_features",
    "check_labels",
    "check_masks",
]

_GREATEST_FEATURE = 1e18


def check_features(x: Tensor) -> None:
    """Check that ``x`` is finite float32 ``[nodes, features]``, no greater than 1e18.

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    if x.dim() != 2 or not x.numel():
        raise InvalidGraphError(f"x must be of shape [nodes, features], not {list(x.shape)}")
    if x.dtype != torch.float32:
        raise InvalidGraphError(f"x must be float32, not {x.dtype}")
    least, greatest = (float(end) for end in torch.aminmax(x))  # NaN if one feature is; without a copy of x
    reach = max(-least, greatest)
    if not math.isfinite(reach):
        check_finite(x)
    if reach > _GREATEST_FEATURE:
        raise InvalidGraphError(f"features reach {reach:.3g}: normalise them")


def check_arbitrary_sign(arbitrary_sign: Tensor, num_features: int) -> None:
    """Check that ``arbitrary_sign`` is boolean, one entry for each feature.

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    if arbitrary_sign.dtype != torch.bool or arbitrary_sign.shape != (num_features,):
        raise InvalidGraphError(
            f"arbitrary_sign must be boolean, one entry for each of {num_features} features, "
            f"not {arbitrary_sign.dtype} of shape {list(arbitrary_sign.shape)}"
        )


def check_batch(batch: Tensor, num_nodes: int) -> None:
    """Check that ``batch`` holds the graph of each node: 0, 1, 2, ..., ascending and without gaps.

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    if batch.dtype != torch.int64 or batch.shape != (num_nodes,):
        raise InvalidGraphError(
            f"batch must be int64 with one graph for each of {num_nodes} nodes, "
            f"not {batch.dtype} of shape {list(batch.shape)}"
        )
    if int(batch[0]) != 0:
        raise InvalidGraphError(f"batch starts with graph {int(batch[0])}: number the graphs 0, 1, 2, ...")
    step = batch.diff()
    if bool((step < 0).any()):
        node = int((step < 0).nonzero()[0]) + 1
        raise InvalidGraphError(
            f"batch descends from graph {int(batch[node - 1])} to {int(batch[node])} at node {node}: "
            f"sort the nodes by graph"
        )
    if bool((step > 1).any()):
        empty = int(batch[int((step > 1).nonzero()[0])]) + 1
        raise InvalidGraphError(
            f"graph {empty} has no node: leave it out, and number the graphs 0, 1, 2, ... without gaps"
        )


def check_labels(y: Tensor, num_rows: int, noun: str) -> None:
    """Check that ``y`` is int64, one label for each ``noun`` (node or graph).

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    if y.shape != (num_rows,):
        raise InvalidGraphError(f"y has shape {list(y.shape)}, but there are {num_rows} {noun}s: each needs one label")
    if y.dtype != torch.int64:
        raise InvalidGraphError(f"y must hold classes 0, 1, 2, ..., as int64, not {y.dtype}")


def check_class_names(class_names: Sequence[str] | None, num_classes: int) -> None:
    """Check that all classes have a name, if any has.

    Raises:
        InvalidGraphError: saying how many have.
    """
    if class_names is not None and len(class_names) < num_classes:
        raise InvalidGraphError(f"class_names has {len(class_names)} names for {num_classes} classes: name each class")


def check_edges(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, batch: Tensor | None) -> None:
    """Check that edges join existing nodes of one graph, and that their weights are finite.

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    check_edge_index(edge_index, num_nodes)
    if edge_index.dtype != torch.int64:
        raise InvalidGraphError(f"edge_index must be int64, not {edge_index.dtype}")
    if edge_weight is not None:
        if edge_weight.dtype != torch.float32 or edge_weight.shape != edge_index.shape[1:]:
            raise InvalidGraphError(
                f"edge_weight must be float32 with one weight for each of {edge_index.shape[1]} edges, "
                f"not {edge_weight.dtype} of shape {list(edge_weight.shape)}"
            )
        if not bool(torch.isfinite(edge_weight).all()):
            edge = int((~torch.isfinite(edge_weight)).nonzero()[0])
            raise InvalidGraphError(f"the weight of edge {edge} is not finite: replace NaN and infinity")
    if batch is not None:
        ends = batch[edge_index]
        crossing = (ends[0] != ends[1]).nonzero()
        if crossing.numel():
            edge = int(crossing[0])
            (source, target), (one, other) = edge_index[:, edge].tolist(), ends[:, edge].tolist()
            raise InvalidGraphError(
                f"edge {edge} joins node {source} of graph {one} and node {target} of graph {other}: "
                f"remove edges between graphs, or correct batch"
            )


def check_masks(masks: Mapping[Any, Tensor], y: Tensor, noun: str) -> None:
    """Check that the masks are boolean, not empty and disjoint, and that all nodes (graphs) in a mask have a class.

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    rows = len(y)
    for split, mask in masks.items():
        if mask.dtype != torch.bool or mask.shape != (rows,):
            raise InvalidGraphError(f"the {split} mask must be boolean, one entry for each of {rows} {noun}s")
        if not bool(mask.any()):
            raise InvalidGraphError(f"the {split} mask is empty: mark at least one {noun}")
    for one, other in itertools.combinations(masks, 2):
        shared = (masks[one] & masks[other]).nonzero()
        if shared.numel():
            raise InvalidGraphError(
                f"{noun} {int(shared[0])} is in the {one} and the {other} mask: each {noun} may be in one"
            )
    if y.dim() > 1:  # several labels for each row, some of which may be unknown
        for split, mask in masks.items():
            if not bool(has_label(y[mask]).any()):
                raise InvalidGraphError(f"no {noun} in the {split} mask has a known label")
        return
    labelled = torch.stack(list(masks.values())).any(dim=0)
    wrong = (labelled & ((y < 0) | (y >= rows))).nonzero()
    if wrong.numel():
        row = int(wrong[0])
        raise InvalidGraphError(
            f"{noun} {row} has class {int(y[row])}: the classes of {noun}s in a mask are "
            f"0, 1, 2, ..., fewer than there are {noun}s"
        )
