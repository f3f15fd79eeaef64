"""Classification tasks on graphs: data, labels, splits and metric."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from mixq_rl.datasets.batching import GraphSelection
from mixq_rl.datasets.consistency import (
    check_arbitrary_sign,
    check_batch,
    check_class_names,
    check_edges,
    check_features,
    check_labels,
    check_masks,
)
from mixq_rl.datasets.inputs import GraphInputs
from mixq_rl.datasets.label_matrix import check_label_matrix
from mixq_rl.datasets.metrics import ACCURACY, Metric, default_metric, fitting, metrics
from mixq_rl.datasets.mini_batches import MiniBatches
from mixq_rl.datasets.neighbor_sampling import NeighborSampler
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.graph import Graph

__all__ = ["GraphTask", "Split"]

Split = Literal["train", "validation", "test"]

_CALIBRATION_GRAPHS = 128
_MOST_STEPS = 50


@dataclass(frozen=True, eq=False)
class GraphTask:
    """Classification of the nodes of one graph, or of many graphs. The data are checked on construction.

    Attributes:
        name: name of the dataset: ``"Cora"``.
        x: node features of all graphs, float32 ``[nodes, features]``, of magnitude at most 1e18.
        edge_index: sources and targets of the edges, int64 ``[2, edges]``, with nodes numbered over all graphs.
        y: classes 0, 1, 2, ..., int64 ``[nodes]``, or ``[graphs]`` if graphs are classified. Nodes (graphs) outside all
            masks may have a negative value instead. For a multi-label task 0 or 1 for each label, NaN where unknown,
            float32 ``[nodes, labels]`` or ``[graphs, labels]``.
        masks: bool ``[nodes]`` or ``[graphs]`` for ``"train"``, ``"validation"`` and ``"test"``; they are disjoint.
        edge_weight: finite edge weights, float32 ``[edges]``; None: all 1.
        batch: graph 0, 1, 2, ... of each node, int64 ``[nodes]``, ascending, if graphs are classified; None: nodes are
            classified.
        metric: name in :data:`~mixq_rl.datasets.metrics.metrics` of the measure that selects networks; empty: accuracy,
            or ROC-AUC for a multi-label task, whose name then takes its place.
        arbitrary_sign: columns of features whose sign is arbitrary, such as eigenvectors, bool ``[features]``; None: no
            such columns. ``training_batches`` of graphs draws random signs, so that a network does not depend on them.
        class_names: names of the classes in the user's file, in their order; None: 0, 1, 2, ...
        notes: what was done to the user's data, a line each.
        mini_batches: how training divides an epoch into steps; None: a step has the whole graph, or in a graph task as
            many graphs as the training schedule says. Measurements and calibration do not depend on it.

    Raises:
        InvalidGraphError: if the data are inconsistent; the message says how.
        InputError: for a metric that is unknown, or does not measure such labels, or mini-batches of another kind of
            task.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    y: Tensor
    masks: dict[Split, Tensor]
    edge_weight: Tensor | None = None
    batch: Tensor | None = None
    metric: str = ""
    arbitrary_sign: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    mini_batches: MiniBatches | None = None

    def __post_init__(self) -> None:
        try:
            check_features(self.x)
            if self.arbitrary_sign is not None:
                check_arbitrary_sign(self.arbitrary_sign, self.num_features)
            if self.batch is not None:
                check_batch(self.batch, self.num_nodes)
            rows = self.num_nodes if self.batch is None else self.num_graphs
            (check_label_matrix if self.multi_label else check_labels)(self.y, rows, self.kind)
            check_edges(self.edge_index, self.num_nodes, self.edge_weight, self.batch)
            check_masks(self.masks, self.y, self.kind)
            check_class_names(self.class_names, self.num_classes)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"{self.name}: {error}") from error
        metric = fitting(self.metric or default_metric(self.multi_label), self.multi_label)
        object.__setattr__(self, "metric", metric.name)
        if self.mini_batches is not None:
            self.mini_batches.check(self.kind)

    def __repr__(self) -> str:
        parts = [f"{self.num_graphs} graphs"] if self.kind == "graph" else []
        parts += [f"{self.num_nodes} nodes", f"{self.edge_index.shape[1]} edges", f"{self.num_features} features"]
        parts += [f"{self.num_classes} {'labels' if self.multi_label else 'classes'}", self.metric]
        return f"{type(self).__name__}({self.name}: {', '.join(parts)})"

    @property
    def multi_label(self) -> bool:
        """Whether a node (graph) has any number of labels, instead of one class."""
        return self.y.dim() == 2 and self.y.is_floating_point()

    @property
    def measure(self) -> Metric:
        """The metric."""
        return metrics[self.metric]

    @property
    def kind(self) -> Literal["node", "graph"]:
        """What is classified: ``"node"`` or ``"graph"``."""
        return "node" if self.batch is None else "graph"

    @property
    def device(self) -> torch.device:
        """Device of the data, and of training on the task."""
        return self.x.device

    def to(self, device: torch.device | str) -> Self:
        """Return the task on another device, or itself if it is on that device."""
        if torch.device(device) == self.device:
            return self
        weight, batch, sign = self.edge_weight, self.batch, self.arbitrary_sign
        return replace(
            self,
            x=self.x.to(device),
            edge_index=self.edge_index.to(device),
            y=self.y.to(device),
            masks={split: mask.to(device) for split, mask in self.masks.items()},
            edge_weight=None if weight is None else weight.to(device),
            batch=None if batch is None else batch.to(device),
            arbitrary_sign=None if sign is None else sign.to(device),
        )

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]

    @property
    def num_graphs(self) -> int:
        return 1 if self.batch is None else int(self.batch[-1]) + 1

    @property
    def num_features(self) -> int:
        return self.x.shape[1]

    @cached_property
    def num_classes(self) -> int:
        """Number of classes, or of labels, for each of which a network has an output."""
        if self.multi_label:
            return self.y.shape[1]
        labelled = torch.stack(list(self.masks.values())).any(dim=0)
        return int(self.y[labelled].max()) + 1

    def inputs(self, split: Split) -> GraphInputs:
        """Return the inputs of a network for a split. They are computed once.

        For a node task they are the whole graph, and splits differ only in ``labelled``. For a graph task they are the
        graphs of the split, in ascending order.
        """
        if split not in self._inputs:
            rows = self.masks[split].nonzero()[:, 0]
            self._inputs[split] = self._whole(rows) if self.batch is None else self._selection(rows)
        return self._inputs[split]

    def steps_of_epoch(self, size: int, *, every: bool = False) -> int:
        """Return the number of batches of :meth:`training_batches`, but for one that is left over; same arguments."""
        if self.kind == "node" and self.mini_batches is None:
            return 1
        steps = -(-self._drawn_from(every).numel() // size)
        return steps if self.kind == "graph" else min(steps, _MOST_STEPS)

    def training_batches(
        self, generator: torch.Generator, size: int = 32, *, every: bool = False
    ) -> Iterator[GraphInputs]:
        """Yield the batches of one epoch.

        For a graph task these are the training graphs in random order, ``size`` in a batch. For a node task it is the
        whole graph, in one batch. With :attr:`mini_batches` it is the part of the graph that ``size`` seeds, in random
        order, need, in at most 50 batches; the next epoch has other seeds. A single graph or seed that is left over is
        added to the last batch, because batch normalisation needs more than one.

        Args:
            generator: draws order, signs and neighbours; a generator of the CPU, so that all devices get the same
                batches.
            size: number of graphs or seeds in a batch.
            every: whether the seeds are all nodes, for a loss that needs no labels, instead of the training nodes.
        """
        if self.kind == "node" and self.mini_batches is None:
            yield self.inputs("train")
            return
        rows = self._drawn_from(every)
        order = torch.randperm(rows.numel(), generator=generator).to(self.device)
        chunks = list(rows[order].split(size))
        if len(chunks) > 1 and chunks[-1].numel() == 1:
            chunks[-2:] = [torch.cat(chunks[-2:])]
        if self.kind == "node":
            yield from (self._sampler(seeds, generator) for seeds in chunks[:_MOST_STEPS])
            return
        for chosen in chunks:
            yield self._with_drawn_signs(self._selection(chosen), generator)

    @cached_property
    def calibration_inputs(self) -> GraphInputs:
        """Inputs for statistics and calibration: the graph, or always the same 128 training graphs."""
        if self.kind == "node":
            return self.inputs("train")
        return next(self.training_batches(torch.Generator().manual_seed(0), _CALIBRATION_GRAPHS))

    def score(self, logits: Tensor, split: Split) -> float:
        """Return the value of the task's metric on a split, in [0, 1].

        Args:
            logits: logits for ``inputs(split)``: ``[nodes, classes]``, or ``[graphs of the split, classes]``.
            split: split whose nodes (graphs) are measured.
        """
        return self._measured(self.measure, logits, split)

    def constant_score(self, split: Split) -> float:
        """Return the greatest value of the task's metric that one prediction for all nodes (graphs) of a split has."""
        return self.measure.constant(self.y[self.masks[split]])

    def accuracy(self, logits: Tensor, split: Split) -> float:
        """Return the accuracy on a split, in [0, 1], by any metric of the task.

        Args:
            logits: as in :meth:`score`.
            split: split whose nodes (graphs) are counted.

        Raises:
            InputError: for a multi-label task.
        """
        self._check_classes()
        return self._measured(ACCURACY, logits, split)

    def majority_accuracy(self, split: Split) -> float:
        """Return the accuracy of always predicting the most frequent class of a split.

        Raises:
            InputError: for a multi-label task.
        """
        self._check_classes()
        return ACCURACY.constant(self.y[self.masks[split]])

    def _measured(self, metric: Metric, logits: Tensor, split: Split) -> float:
        mask = self.masks[split]
        return metric.score(logits[mask] if self.batch is None else logits, self.y[mask])

    def _check_classes(self) -> None:
        if self.multi_label:
            raise InputError(f"{self.name} has several labels for each {self.kind}, no accuracy: use task.score")

    def _with_drawn_signs(self, inputs: GraphInputs, generator: torch.Generator) -> GraphInputs:
        if self.arbitrary_sign is None:
            return inputs
        signs = (2.0 * torch.randint(2, (self.num_features,), generator=generator) - 1).to(self.device)
        return replace(inputs, x=inputs.x * torch.where(self.arbitrary_sign, signs, 1.0))

    @cached_property
    def _inputs(self) -> dict[Split, GraphInputs]:
        return {}

    @cached_property
    def _graph(self) -> Graph:
        return Graph(self.edge_index, self.num_nodes, edge_weight=self.edge_weight)

    def _drawn_from(self, every: bool) -> Tensor:
        if every and self.kind == "node":
            return torch.arange(self.num_nodes, device=self.device)
        return self.masks["train"].nonzero()[:, 0]

    @cached_property
    def _sampler(self) -> NeighborSampler:
        assert self.mini_batches is not None
        return NeighborSampler(self.x, self._graph, self.y, self.masks["train"], self.mini_batches.num_neighbors)

    @cached_property
    def _selection(self) -> GraphSelection:
        assert self.batch is not None
        return GraphSelection(self.x, self.edge_index, self.edge_weight, self.batch, self.y)

    def _whole(self, labelled: Tensor) -> GraphInputs:
        return GraphInputs(self.x, self._graph, self.y, labelled, torch.arange(self.num_nodes, device=self.device))
