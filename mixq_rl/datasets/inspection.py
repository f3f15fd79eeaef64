"""Inspection of a graph before training: what it holds, and what that means for a quantized network."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mixq_rl.datasets.edge_findings import NO_EDGES, ONLY_LOOPS, edge_findings
from mixq_rl.datasets.feature_findings import feature_findings
from mixq_rl.datasets.finding import Finding
from mixq_rl.datasets.messages import listed
from mixq_rl.datasets.task import GraphTask
from mixq_rl.quantization import DEFAULT_BITS

__all__ = ["advice", "inspect_arrays", "inspect_task", "nothing_to_learn"]

_MAJORITY = 0.8
_FEWEST_OF_CLASS = 5


def inspect_task(task: GraphTask, bits: Sequence[int] = DEFAULT_BITS) -> Iterator[Finding]:
    """Yield all findings about a task: size, features, edges, labels, in one pass over the data.

    Args:
        task: the task.
        bits: bit-widths on offer.
    """
    found = list(inspect_arrays(task.x, task.edge_index, task.edge_weight, bits, task.num_graphs))
    yield from found
    yield from _label_findings(task)
    yield from (finding for finding in nothing_to_learn(task) if finding not in found)


def inspect_arrays(
    x: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    bits: Sequence[int] = DEFAULT_BITS,
    num_graphs: int = 1,
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


def advice(task: GraphTask, bits: Sequence[int] = DEFAULT_BITS) -> list[Finding]:
    """Return the findings that matter, without those of :func:`nothing_to_learn`, which ``load_task`` has logged."""
    found = [*inspect_arrays(task.x, task.edge_index, task.edge_weight, bits), *_label_findings(task)]
    return [finding for finding in found if finding.matters and finding not in (NO_EDGES, ONLY_LOOPS)]


def nothing_to_learn(task: GraphTask) -> Iterator[Finding]:
    """Yield findings about a task that no network can be judged by: one class, the same features, no edges.

    One class is that of all labels, or of all that train. Where the metric is accuracy, a class that most rows have is
    one of the findings.
    """
    if task.x.shape[0] > 1 and bool((task.x[0] == task.x[-1]).all()):
        least, greatest = torch.aminmax(task.x, dim=0)
        if torch.equal(least, greatest):
            what = "all features are 0" if not bool(greatest.any()) else "all nodes have the same features"
            yield Finding("features", what, "only the edges tell nodes apart; give one-hot degrees", matters=True)
    if not task.edge_index.shape[1]:
        yield NO_EDGES
    elif bool((task.edge_index[0] == task.edge_index[1]).all()):
        yield ONLY_LOOPS
    if task.y.dim() != 1:
        return
    counts = _class_counts(task)
    share = float(counts.max()) / float(counts.sum())
    if share == 1:
        meaning = "every network is right, and nothing can be learned"
        yield Finding("classes", f"all labels are of class {_name(task, int(counts.argmax()))}", meaning, matters=True)
        return
    trained = task.y[task.masks["train"]].unique()
    if trained.numel() == 1:
        found = f"all training labels are of class {_name(task, int(trained))}"
        yield Finding("training", found, "no other class can be learned; give another train_mask", matters=True)
    if share > _MAJORITY and task.metric == "accuracy":
        yield Finding(
            "majority",
            f"{100 * share:.1f} % of the labels are of class {_name(task, int(counts.argmax()))}",
            "accuracy hardly sees the others; --metric balanced-accuracy or macro-f1 does",
            matters=True,
        )


def _label_findings(task: GraphTask) -> Iterator[Finding]:
    rows = ", ".join(f"{int(mask.sum()):,} {split}" for split, mask in task.masks.items())
    yield Finding("splits", f"{rows} {task.kind}s")
    if task.y.dim() != 1:
        known = ~task.y.isnan()
        positive = float((task.y == 1).sum()) / max(int(known.sum()), 1)
        yield Finding("labels", f"{task.y.shape[1]} labels of each {task.kind}, {100 * positive:.1f} % of them 1")
        yield from _labels_of_one_value(task)
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


def _labels_of_one_value(task: GraphTask) -> Iterator[Finding]:
    """Yield a finding about labels that are all 0 or all 1 in training, or not known there."""
    trained = task.y[task.masks["train"]]
    both = (trained == 0).any(dim=0) & (trained == 1).any(dim=0)
    if not bool(both.all()):
        numbers = (~both).nonzero()[:, 0].tolist()
        yield Finding(
            "constant labels",
            f"{len(numbers)} of {both.numel()} labels have one value in training: {listed([str(n) for n in numbers])}",
            "such a label cannot be learned, and a metric leaves it out where it is constant too",
            matters=True,
        )


def _class_counts(task: GraphTask) -> Tensor:
    labelled = torch.stack(list(task.masks.values())).any(dim=0)
    return torch.bincount(task.y[labelled], minlength=task.num_classes)


def _name(task: GraphTask, label: int) -> str:
    return str(label) if task.class_names is None else task.class_names[label]
