from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InvalidGraphError
from tests.conftest import make_task
from tests.mixq_rl.datasets.small_graphs import make_graph_task
from tests.pretended_device import ELSEWHERE, pretended_gpu


@pytest.fixture
def graph_task() -> GraphTask:
    return make_graph_task()


def test_accuracies_of_nodes() -> None:
    y = torch.tensor([0, 1, 1, 0, 1, 0])
    masks = {"train": torch.arange(6) < 2, "validation": torch.arange(6) >= 2}
    task = GraphTask("tiny", torch.ones(6, 1), torch.zeros(2, 0, dtype=torch.int64), y, masks)  # type: ignore[arg-type]
    logits = torch.tensor([[0.0, 1.0]] * 4 + [[1.0, 0.0]] * 2)
    assert task.accuracy(logits, "validation") == 0.5
    assert task.accuracy(logits, "train") == 0.5
    assert task.majority_accuracy("validation") == 0.5


def test_accuracies_of_graphs(graph_task: GraphTask) -> None:
    inputs = graph_task.inputs("test")
    assert graph_task.accuracy(torch.eye(2)[inputs.y], "test") == 1.0
    assert graph_task.accuracy(torch.eye(2)[1 - inputs.y], "test") == 0.0
    assert graph_task.majority_accuracy("test") == 0.5


def test_kinds(graph_task: GraphTask) -> None:
    task = make_task()
    assert (task.kind, task.num_graphs, task.num_classes) == ("node", 1, 3)
    assert (graph_task.kind, graph_task.num_graphs, graph_task.num_classes) == ("graph", 20, 2)
    assert graph_task.num_nodes == graph_task.x.shape[0]


def test_node_inputs_are_the_whole_graph_and_say_what_is_labelled() -> None:
    task = make_task()
    train, test = task.inputs("train"), task.inputs("test")
    assert train is task.inputs("train")
    assert train.graph is test.graph
    assert train.x is task.x
    assert train.y is task.y
    assert torch.equal(train.index, torch.arange(task.num_nodes))
    assert torch.equal(test.labelled, task.masks["test"].nonzero()[:, 0])
    assert [batch is train for batch in task.training_batches(torch.Generator())] == [True]


def test_edge_weights_reach_the_graph() -> None:
    task = make_task()
    weighted = replace(task, edge_weight=torch.rand(task.edge_index.shape[1]))
    assert weighted.inputs("train").graph.edge_weight is weighted.edge_weight
    assert task.inputs("train").graph.edge_weight is None


def test_signs_that_mean_nothing_are_drawn_anew_in_training(graph_task: GraphTask) -> None:
    x = torch.ones(graph_task.num_nodes, 8)
    task = replace(graph_task, x=x, arbitrary_sign=torch.arange(8) < 6)
    batches = list(task.training_batches(torch.Generator().manual_seed(0), size=2))
    assert all(torch.equal(batch.x[:, 6:], torch.ones_like(batch.x[:, 6:])) for batch in batches)
    signs = torch.stack([batch.x[0, :6] for batch in batches])
    assert all(torch.equal(batch.x, batch.x[:1].expand_as(batch.x)) for batch in batches)
    assert signs.unique().tolist() == [-1, 1]
    assert torch.equal(task.inputs("train").x, torch.ones_like(task.inputs("train").x))


def changed(entries: Tensor, place: int | slice, value: float) -> Tensor:
    entries = entries.clone()
    entries[place] = value
    return entries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda task: {"x": task.x.double()}, r"graphs: x must be float32, not torch\.float64"),
        (lambda task: {"batch": task.batch[:3]}, r"batch must be int64 with one graph for each of \d+ nodes"),
        (lambda task: {"batch": task.batch.int()}, r"batch must be int64 .* not torch\.int32"),
        (lambda task: {"batch": task.batch - 1}, "batch starts with graph -1: number the graphs 0, 1, 2"),
        (lambda task: {"batch": changed(task.batch, 4, 0)}, "batch descends from graph 2 to 0 at node 4: sort the"),
        (
            lambda task: {"batch": task.batch + (task.batch >= 2)},
            "graph 2 has no node: leave it out, and number the graphs",
        ),
        (lambda task: {"y": task.y[:3]}, r"y has shape \[3\], but there are 20 graphs: each needs one label"),
        (lambda task: {"y": task.y.int()}, r"y must hold classes 0, 1, 2, \.\.\., as int64, not torch\.int32"),
        (lambda task: {"edge_index": task.edge_index.int()}, r"edge_index must be int64, not torch\.int32"),
        (lambda task: {"edge_index": changed(task.edge_index, 0, 99)}, "names node 99, but the graph has nodes"),
        (
            lambda task: {"edge_index": torch.tensor([[0, 1], [0, 5]]), "edge_weight": None},
            "edge 1 joins node 1 of graph 1 and node 5 of graph 2: remove edges between graphs",
        ),
        (lambda task: {"edge_weight": torch.ones(3)}, r"edge_weight must be float32 with one weight for each of \d+"),
        (lambda task: {"edge_weight": task.edge_weight.double()}, r"edge_weight must be float32 .* not torch\.float64"),
        (
            lambda task: {"edge_weight": changed(task.edge_weight, slice(2, None), torch.nan)},
            "the weight of edge 2 is not finite: replace NaN",
        ),
        (lambda task: {"masks": {"train": task.y[:3] > 0}}, "the train mask must be boolean, one entry for each of 20"),
        (lambda task: {"masks": {"train": task.y < 0}}, "the train mask is empty: mark at least one graph"),
        (lambda task: {"arbitrary_sign": task.y > 0}, "arbitrary_sign must be boolean, one entry for each of 1 feat"),
    ],
)
def test_graphs_that_contradict_each_other_are_refused(
    graph_task: GraphTask, change: Callable[[GraphTask], dict[str, Any]], message: str
) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        replace(graph_task, **change(graph_task))


def test_labels_of_marked_graphs_are_classes(graph_task: GraphTask) -> None:
    y = graph_task.y.clone()
    y[4] = -1
    with pytest.raises(InvalidGraphError, match="graph 4 has class -1: the classes of graphs in a mask are 0, 1, 2"):
        replace(graph_task, y=y)
    unmarked = {split: mask & (torch.arange(20) != 4) for split, mask in graph_task.masks.items()}
    assert replace(graph_task, y=y, masks=unmarked).num_classes == 2


def test_masks_are_disjoint(graph_task: GraphTask) -> None:
    masks = {**graph_task.masks, "test": ~graph_task.masks["train"]}
    with pytest.raises(InvalidGraphError, match=r"graph \d+ is in the validation and the test mask"):
        replace(graph_task, masks=masks)


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_a_task_moves_with_all_that_it_has(kind: str, graph_task: GraphTask) -> None:
    here = (
        make_task()
        if kind == "node"
        else replace(graph_task, arbitrary_sign=torch.ones(graph_task.num_features, dtype=torch.bool))
    )
    here = replace(here, edge_weight=torch.ones(here.edge_index.shape[1]))
    assert here.to("cpu") is here
    with pretended_gpu():
        there = here.to("cuda:0")
        batch, moved = next(there.training_batches(torch.Generator())), here.inputs("train").to(ELSEWHERE)
        for part in (there, there.inputs("test"), batch, batch.graph, moved, moved.graph):
            tensors = [value for value in vars(part).values() if isinstance(value, torch.Tensor)]
            assert {tensor.device for tensor in tensors} == {ELSEWHERE}
        assert {mask.device for mask in there.masks.values()} == {ELSEWHERE}
        assert there.majority_accuracy("test") == here.majority_accuracy("test")
        assert there.num_classes == here.num_classes


def test_each_class_has_a_name_if_any_has() -> None:
    task = make_task()
    names = tuple(f"class {label}" for label in range(task.num_classes))
    assert replace(task, class_names=names).class_names == names
    with pytest.raises(InvalidGraphError, match=r"names for .* classes: name each class"):
        replace(task, class_names=names[:-1])
