"""Inspection of a graph before training: what it holds, and what that means for a quantized network."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mixq_rl.datasets.edge_findings import edge_findings
from mixq_rl.datasets.feature_findings import feature_findings
from mixq_rl.datasets.finding import Finding
from mixq_rl.datasets.messages import listed
from mixq_rl.datasets.task import GraphTask

__all__ = ["advice", "inspect_arrays", "inspect_task", "nothing_to_learn"]

_MAJORITY = 0.8
_BITS = (2, 4, 8)
_FEWEST_OF_CLASS = 5


def inspect_task(task: GraphTask, bits: Sequence[int] = _BITS) -> Iterator[Finding]:
    """Yield all findings about a task: size, features, edges, labels, in one pass over the data.

    Args:
        task: the task.
        bits: bit-widths on offer.
    """
    yield from inspect_arrays(task.x, task.edge_index, task.edge_weight, bits, task.num_graphs)
    yield from _label_findings(task)
    yield from nothing_to_learn(task)


def inspect_arrays(
    x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, bits: Sequence[int] = _BITS, num_graphs: int = 1
) -> Iterator[Finding]:
    """Yield findings about features and edges, which need not have passed the checks of a task.

    Args:
        x: features, ``[nodes, features]``.
        edge_index: edges, ``[2, edges]``.
        edge_weight: edge weights, ``[edges]``, or None.
        bits: bit-widths on offer.
        num_graphs: number of graphs.
    """
    if x.dim() != 2 or not x.numel():
        yield Finding("features", f"x is of shape {list(x.shape)}", "it must be [nodes, features]", matters=True)
        return
    nodes, columns = x.shape
    graphs = f"{num_graphs:,} graphs, " if num_graphs > 1 else ""
    yield Finding("size", f"{graphs}{nodes:,} nodes, {columns:,} features, {4 * x.numel() / 1e6:,.1f} MB in float32")
    yield from feature_findings(x)
    yield from edge_findings(edge_index, nodes, edge_weight, bits)


def advice(task: GraphTask, bits: Sequence[int] = _BITS) -> list[Finding]:
    """Return the findings that matter, without those of :func:`nothing_to_learn`, which ``load_task`` has logged."""
    found = [*inspect_arrays(task.x, task.edge_index, task.edge_weight, bits), *_label_findings(task)]
    return [finding for finding in found if finding.matters and finding.found != _NO_EDGES.found]


def nothing_to_learn(task: GraphTask) -> Iterator[Finding]:
    """Yield findings about a task that no network can be judged by: one class, the same features, no edges.

    Where the metric is accuracy, a class that most rows have is one of them.
    """
    if task.x.shape[0] > 1 and bool((task.x[0] == task.x[-1]).all()):
        least, greatest = torch.aminmax(task.x, dim=0)
        if torch.equal(least, greatest):
            what = "all features are 0" if not bool(greatest.any()) else "all nodes have the same features"
            yield Finding("features", what, "only the edges tell nodes apart; give one-hot degrees", matters=True)
    if not task.edge_index.shape[1]:
        yield _NO_EDGES
    if task.y.dim() != 1:
        return
    counts = _class_counts(task)
    share = float(counts.max()) / float(counts.sum())
    if share == 1:
        meaning = "every network is right, and nothing can be learned"
        yield Finding("classes", f"all labels are of class {_name(task, int(counts.argmax()))}", meaning, matters=True)
    elif share > _MAJORITY and task.metric == "accuracy":
        yield Finding(
            "majority",
            f"{100 * share:.1f} % of the labels are of class {_name(task, int(counts.argmax()))}",
            "accuracy hardly sees the others; --metric balanced-accuracy or macro-f1 does",
            matters=True,
        )


_NO_EDGES = Finding("edges", "there are no edges", "message passing has nothing to sum", matters=True)


def _label_findings(task: GraphTask) -> Iterator[Finding]:
    rows = ", ".join(f"{int(mask.sum()):,} {split}" for split, mask in task.masks.items())
    yield Finding("splits", f"{rows} {task.kind}s")
    if task.y.dim() != 1:
        known = ~task.y.isnan()
        positive = float((task.y == 1).sum()) / max(int(known.sum()), 1)
        yield Finding("labels", f"{task.y.shape[1]} labels of each {task.kind}, {100 * positive:.1f} % of them 1")
        return
    counts = _class_counts(task)
    order = counts.argsort(descending=True, stable=True).tolist()
    sizes = [f"{_name(task, label)} ({int(counts[label]):,})" for label in order]
    yield Finding("classes", f"{counts.numel()} classes: {listed(sizes)}")
    trained = torch.bincount(task.y[task.masks["train"]], minlength=counts.numel())
    for few, limit in (("no", 0), (f"fewer than {_FEWEST_OF_CLASS}", _FEWEST_OF_CLASS - 1)):
        rare = ((trained <= limit) & (counts > 0)).nonzero()[:, 0].tolist()
        if rare:
            named = listed([_name(task, label) for label in rare])
            yield Finding(
                "rare classes",
                f"{few} training {task.kind}s for {len(rare)} of {counts.numel()} classes: {named}",
                "they can hardly be learned at any bit-width; label more, or join classes",
                matters=True,
            )
            return


def _class_counts(task: GraphTask) -> Tensor:
    labelled = torch.stack(list(task.masks.values())).any(dim=0)
    return torch.bincount(task.y[labelled], minlength=task.num_classes)


def _name(task: GraphTask, label: int) -> str:
    return str(label) if task.class_names is None else task.class_names[label]
