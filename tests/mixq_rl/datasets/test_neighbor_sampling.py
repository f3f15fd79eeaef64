from dataclasses import replace

import pytest
import torch

from mixq_rl.datasets import GraphInputs, GraphTask, MiniBatches
from mixq_rl.datasets.neighbor_sampling import NeighborSampler
from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from tests.conftest import make_classified_graphs, make_task


def sampled(task: GraphTask, *numbers: int, size: int = 16) -> GraphTask:
    return replace(task, mini_batches=MiniBatches(size, numbers))


def drawn(task: GraphTask, seed: int = 0, size: int = 16, *, every: bool = False) -> list[GraphInputs]:
    return list(task.training_batches(torch.Generator().manual_seed(seed), size, every=every))


def numbers_of(task: GraphTask, batch: GraphInputs) -> torch.Tensor:
    """The task's node of each node of a batch, found by its features, which are made to be distinct."""
    return torch.cdist(batch.x.double(), task.x.double()).argmin(dim=1)


@pytest.fixture
def distinct(task: GraphTask) -> GraphTask:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(task.num_nodes, 8, generator=generator)
    return replace(task, x=x, edge_weight=torch.rand(task.edge_index.shape[1], generator=generator))


@pytest.mark.parametrize("numbers", [(3, 2), (-1, -1), (-1,), ()])
def test_edges_are_some_of_the_graph_with_their_weights(distinct: GraphTask, numbers: tuple[int, ...]) -> None:
    known = dict.fromkeys(map(tuple, distinct.edge_index.T.tolist()), 0)
    for source_target in map(tuple, distinct.edge_index.T.tolist()):
        known[source_target] += 1
    weights = {
        (*pair, round(weight, 6))
        for pair, weight in zip(map(tuple, distinct.edge_index.T.tolist()), distinct.edge_weight.tolist(), strict=True)  # type: ignore[union-attr]
    }
    for batch in drawn(sampled(distinct, *numbers)):
        number = numbers_of(distinct, batch)
        assert number.unique().numel() == number.numel() == batch.graph.num_nodes
        assert torch.equal(number[: len(batch.index)], batch.index)
        assert torch.equal(batch.y, distinct.y[batch.index])
        pairs = list(map(tuple, number[batch.graph.edge_index].T.tolist()))
        assert all(pairs.count(pair) <= known[pair] for pair in set(pairs))
        found = zip(pairs, batch.graph.edge_weight.tolist(), strict=True)  # type: ignore[union-attr]
        assert {(*pair, round(weight, 6)) for pair, weight in found} <= weights


def test_nodes_get_as_many_neighbours_as_there_are_and_are_asked_for(task: GraphTask) -> None:
    in_degree = torch.bincount(task.edge_index[1], minlength=task.num_nodes)
    for batch in drawn(sampled(task, 3, 2)):
        degree = torch.bincount(batch.graph.edge_index[1], minlength=batch.graph.num_nodes)
        seeds = len(batch.index)
        assert torch.equal(degree[:seeds], in_degree[batch.index].clamp(max=3))
        assert int(degree[seeds:].max()) <= 2


def test_with_all_neighbours_the_outputs_are_those_of_the_whole_graph(task: GraphTask) -> None:
    whole = task.inputs("train").graph
    adjacency = torch.zeros(task.num_nodes, task.num_nodes).index_put(
        (whole.edge_index[1], whole.edge_index[0]), torch.ones(whole.edge_index.shape[1]), accumulate=True
    )
    expected = adjacency @ (adjacency @ task.x)
    for batch in drawn(sampled(task, -1, -1)):
        target, source = batch.graph.edge_index[1], batch.graph.edge_index[0]
        once = torch.zeros_like(batch.x).index_add(0, target, batch.x[source])
        twice = torch.zeros_like(batch.x).index_add(0, target, once[source])
        torch.testing.assert_close(twice[: len(batch.index)], expected[batch.index])


def test_an_epoch_has_each_seed_once(task: GraphTask) -> None:
    train = task.masks["train"].nonzero()[:, 0]
    divided = sampled(task, 2, 2)
    for every, rows in ((False, train), (True, torch.arange(task.num_nodes))):
        batches = drawn(divided, every=every)
        assert len(batches) == divided.steps_of_epoch(16, every=every)
        assert torch.equal(torch.cat([batch.index for batch in batches]).sort().values, rows)
        for batch in batches:
            assert torch.equal(batch.labelled, task.masks["train"][batch.index].nonzero()[:, 0])


def test_a_seed_draws_the_same_batches_and_another_others(task: GraphTask) -> None:
    def described(seed: int) -> list[list[int]]:
        batches = drawn(sampled(task, 3, 2), seed)
        return [[*batch.index.tolist(), *batch.graph.edge_index.flatten().tolist()] for batch in batches]

    assert described(1) == described(1) != described(2)


def test_a_seed_that_is_left_over_joins_the_last_batch(task: GraphTask) -> None:
    labelled = int(task.masks["train"].sum())
    sizes = [len(batch.index) for batch in drawn(sampled(task, 2, 2), size=labelled - 1)]
    assert sizes == [labelled]


def test_a_batch_may_be_larger_than_the_graph(task: GraphTask) -> None:
    (batch,) = drawn(sampled(task, 2, 2), size=10_000, every=True)
    assert torch.equal(batch.index.sort().values, torch.arange(task.num_nodes))


def test_epochs_of_many_nodes_are_shortened_and_go_on_elsewhere() -> None:
    task = sampled(make_task(nodes=400), 1, size=2)
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.cat([batch.index for batch in task.training_batches(generator, 2, every=True)]) for _ in range(2)
    )
    assert task.steps_of_epoch(2, every=True) == 50
    assert len(first) == len(second) == first.unique().numel() == 100
    assert set(first.tolist()) != set(second.tolist())


def test_isolated_nodes_have_no_neighbours() -> None:
    graph = Graph(torch.tensor([[0], [1]]), 4)
    labelled = torch.tensor([True, True, True, False])
    sampler = NeighborSampler(torch.eye(4), graph, torch.arange(4), labelled, (5, 5))
    batch = sampler(torch.tensor([3, 2]), torch.Generator())
    assert batch.graph.num_nodes == 2
    assert batch.graph.edge_index.shape == (2, 0)
    assert batch.labelled.tolist() == [1]
    batch = sampler(torch.tensor([1, 3]), torch.Generator())
    assert batch.x.argmax(dim=1).tolist() == [1, 3, 0]
    assert batch.graph.edge_index.tolist() == [[2], [0]]


def test_neighbours_are_drawn_uniformly_and_without_repetition() -> None:
    sources = torch.arange(1, 8)
    graph = Graph(torch.stack([sources, torch.zeros_like(sources)]), 8)
    sampler = NeighborSampler(torch.eye(8), graph, torch.zeros(8).long(), torch.ones(8).bool(), (3,))
    generator, rounds = torch.Generator().manual_seed(0), 2000
    count = torch.zeros(8)
    for _ in range(rounds):
        found = sampler(torch.tensor([0]), generator).x.argmax(dim=1)[1:]
        assert found.unique().numel() == 3
        count[found] += 1
    # Each of 7 neighbours is among the 3 with probability 3/7: 857 times, standard deviation 22.
    assert count[1:].min() > 857 - 100
    assert count[1:].max() < 857 + 100


def test_calibration_and_measurement_keep_the_whole_graph(task: GraphTask) -> None:
    divided = sampled(task, 2, 2)
    assert divided.calibration_inputs is divided.inputs("train")
    for split in ("train", "validation", "test"):
        assert divided.inputs(split).graph.num_nodes == task.num_nodes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "numbers", "message"),
    [
        (0, (2,), "a batch of 0: at least 1 is needed"),
        (1, (2,), "a batch of 1 seed node: at least 2 are needed"),
        (8, (2, 0), "0 neighbours: at least 1 is needed, or -1 for all of them"),
        (8, (-2,), "-2 neighbours: at least 1 is needed, or -1 for all of them"),
    ],
)
def test_values_out_of_bounds_are_refused(task: GraphTask, size: int, numbers: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampled(task, *numbers, size=size)


def test_graphs_are_not_sampled() -> None:
    with pytest.raises(InputError, match="a step of a graph task has whole graphs"):
        sampled(make_classified_graphs(), 2)
