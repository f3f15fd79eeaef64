import pytest
import torch
from torch import Tensor

from mixq_rl.datasets import GraphInputs, GraphTask
from tests.mixq_rl.datasets.small_graphs import make_graph_task


@pytest.fixture
def graph_task() -> GraphTask:
    return make_graph_task()


def edges_of(task: GraphTask, graph: int) -> list[tuple[float, ...]]:
    """Sources, targets and weights of a graph, by the numbers that its nodes bear as features."""
    assert task.batch is not None
    edges = (task.batch[task.edge_index[0]] == graph).nonzero()[:, 0]
    return listed(task.x[:, 0], task.edge_index[:, edges], task.edge_weight, edges)


def listed(x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, edges: Tensor) -> list[tuple[float, ...]]:
    weight = torch.ones(edges.numel()) if edge_weight is None else edge_weight[edges]
    return sorted(zip(x[edge_index[0]].tolist(), x[edge_index[1]].tolist(), weight.tolist(), strict=True))


def check(task: GraphTask, inputs: GraphInputs) -> None:
    graph = inputs.graph
    assert task.batch is not None
    assert graph.batch is not None
    assert torch.equal(inputs.y, task.y[inputs.index])
    assert torch.equal(inputs.labelled, torch.arange(inputs.index.numel()))
    assert graph.num_graphs == inputs.index.numel()
    assert graph.num_nodes == inputs.x.shape[0]
    for place, number in enumerate(inputs.index.tolist()):
        assert torch.equal(inputs.x[graph.batch == place], task.x[task.batch == number])
        edges = (graph.batch[graph.edge_index[0]] == place).nonzero()[:, 0]
        found = listed(inputs.x[:, 0], graph.edge_index[:, edges], graph.edge_weight, edges)
        assert found == edges_of(task, number)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_split_is_the_union_of_its_graphs(weighted: bool) -> None:
    task = make_graph_task(weighted=weighted)
    for split, mask in task.masks.items():
        inputs = task.inputs(split)
        assert inputs is task.inputs(split)
        assert torch.equal(inputs.index, mask.nonzero()[:, 0])
        check(task, inputs)


def test_one_graph_left_over_goes_with_the_last_batch(graph_task: GraphTask) -> None:
    count = int(graph_task.masks["train"].sum())
    batches = list(graph_task.training_batches(torch.Generator().manual_seed(1), size=count - 1))
    assert [batch.index.numel() for batch in batches] == [count]


def test_batches_hold_each_training_graph_once(graph_task: GraphTask) -> None:
    batches = list(graph_task.training_batches(torch.Generator().manual_seed(1), size=5))
    assert [batch.index.numel() for batch in batches] == [5, 5, 2]
    for batch in batches:
        check(graph_task, batch)
    order = torch.cat([batch.index for batch in batches])
    assert torch.equal(order.sort().values, graph_task.masks["train"].nonzero()[:, 0])
    assert not torch.equal(order, order.sort().values)


def test_batches_are_drawn_from_the_generator(graph_task: GraphTask) -> None:
    def order(seed: int) -> Tensor:
        batches = graph_task.training_batches(torch.Generator().manual_seed(seed), size=5)
        return torch.cat([batch.index for batch in batches])

    assert torch.equal(order(0), order(0))
    assert not torch.equal(order(0), order(1))
