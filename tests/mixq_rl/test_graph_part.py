from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask, MiniBatches
from mixq_rl.graph import Graph
from mixq_rl.graph_part import GraphPart
from mixq_rl.propagation import Propagation

SYMMETRIC = [
    Propagation("symmetric", "remaining"),
    Propagation("symmetric", "keep"),
    Propagation("symmetric", "add", weighted=True),
    Propagation("absolute", "replace", weighted=True),
]


def dense(graph: Graph, propagation: Propagation) -> torch.Tensor:
    """The matrix of an adjacency, with its row scales."""
    adjacency = graph.adjacency(propagation)
    csr = adjacency.csr
    matrix = torch.zeros(csr.num_rows, csr.num_columns, dtype=torch.float64)
    matrix.index_put_((csr.row, csr.col.long()), adjacency.value, accumulate=True)
    return matrix if adjacency.row_scale is None else matrix * adjacency.row_scale


@pytest.fixture
def weighted(task: GraphTask) -> GraphTask:
    generator = torch.Generator().manual_seed(0)
    return replace(task, edge_weight=torch.rand(task.edge_index.shape[1], generator=generator) + 0.1)


@pytest.mark.parametrize("propagation", SYMMETRIC, ids=str)
def test_rows_with_all_neighbours_are_those_of_the_whole_graph(weighted: GraphTask, propagation: Propagation) -> None:
    expected = dense(weighted.inputs("train").graph, propagation)
    divided = replace(weighted, mini_batches=MiniBatches(16, (-1,)))
    for batch in divided.training_batches(torch.Generator(), 16):
        assert isinstance(batch.graph, GraphPart)
        every = batch.graph._nodes
        found = torch.zeros(len(batch.index), weighted.num_nodes, dtype=torch.float64)
        found[:, every] = dense(batch.graph, propagation)[: len(batch.index)]
        torch.testing.assert_close(found, expected[batch.index])


def test_a_part_estimates_the_sums_of_the_whole_graph(task: GraphTask) -> None:
    propagation = Propagation("symmetric", "keep")
    expected = dense(task.inputs("train").graph, propagation) @ task.x.double()
    divided = replace(task, mini_batches=MiniBatches(1000, (2,)))
    generator, rounds = torch.Generator().manual_seed(0), 300
    mean = torch.zeros_like(expected)
    for _ in range(rounds):
        (batch,) = divided.training_batches(generator, 1000, every=True)
        found = (dense(batch.graph, propagation) @ batch.x.double())[: len(batch.index)]
        mean[batch.index] += found / rounds
    assert float((mean - expected).norm() / expected.norm()) < 0.1


def test_row_scales_beyond_1_keep_to_fixed_point() -> None:
    leaves = torch.arange(1, 101)
    whole = Graph(torch.stack([leaves, torch.zeros_like(leaves)]), 101)
    part = GraphPart(torch.tensor([[1], [0]]), whole, torch.tensor([0, 1]))
    adjacency = part.adjacency(SYMMETRIC[1])
    assert adjacency.row_bound == pytest.approx(10)
    task = replace(mixq_rl.load_task("citation"), name="probe")
    model = mixq_rl.build_model("gcn", task, hidden_channels=4)
    model.calibrate(task.x, task.edge_index, (8,))
    with model.allocated([8] * len(model.quantizers)):
        assert model(task.x[:2], part).isfinite().all()


def test_means_and_sums_are_those_of_the_part() -> None:
    whole = Graph(torch.tensor([[1, 2, 3], [0, 0, 0]]), 4)
    part = GraphPart(torch.tensor([[1], [0]]), whole, torch.tensor([0, 3]))
    assert dense(part, Propagation("mean")).tolist() == [[0, 1], [0, 0]]
    assert dense(part, Propagation()).tolist() == [[0, 1], [0, 0]]


def test_a_part_moves_with_its_whole() -> None:
    whole = Graph(torch.tensor([[1, 2, 3], [0, 0, 0]]), 4, edge_weight=torch.ones(3))
    part = GraphPart(torch.tensor([[1], [0]]), whole, torch.tensor([0, 3]), edge_weight=torch.ones(1)).to("cpu")
    assert torch.equal(dense(part, SYMMETRIC[2])[0, 1:], dense(whole, SYMMETRIC[2])[0, 3:] * 2)
