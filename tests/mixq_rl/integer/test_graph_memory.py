import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from mixq_rl.adjacency import Adjacency
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.graph import Graph
from mixq_rl.integer import graph_memory
from mixq_rl.integer.graph_memory import Given, prepare_once
from mixq_rl.native import extension
from mixq_rl.propagation import Propagation
from tests.mixq_rl.frozen import MODELS, arguments, frozen
from tests.mixq_rl.nn.networks import KINDS, make_graph
from tests.pretended_device import ELSEWHERE, pretended_gpu

pytestmark = pytest.mark.skipif(extension() is None, reason="nothing is kept without the extension")

GCN = Propagation("symmetric", "remaining", weighted=True)


class Model:
    """Prepares an adjacency, or all nodes of each graph."""

    def __init__(self, propagation: Propagation = GCN) -> None:
        self.propagation = propagation
        self.graphs: list[weakref.ref[Graph]] = []

    def __call__(
        self, edge_index: Tensor, weight: Tensor | None = None, batch: Tensor | None = None, nodes: int = 5
    ) -> Adjacency:
        (made,) = prepare_once(self, self.prepare, Given(edge_index, weight, batch), nodes)
        return made

    def prepare(self, graph: Graph) -> tuple[Adjacency]:
        self.graphs.append(weakref.ref(graph))
        return (graph.adjacency(self.propagation),)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    graph_memory._entries.clear()
    yield
    gc.collect()


def edges() -> Tensor:
    return torch.tensor([[0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 0, 4]])


def same(one: Adjacency, other: Adjacency) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in (
            (one.csr.rowptr, other.csr.rowptr),
            (one.csr.col, other.csr.col),
            (one.value, other.value),
        )
    )


def test_a_graph_is_made_once_for_all_models() -> None:
    first, second, edge_index = Model(), Model(), edges()
    made = first(edge_index)
    assert first(edge_index) is made
    assert second(edge_index) is made
    assert same(made, Graph(edge_index, 5).adjacency(GCN))
    pooling = Model(Propagation(pooled=True))(edge_index)
    assert pooling.csr.col.tolist() == [0, 1, 2, 3, 4]
    assert len(graph_memory._entries) == 1


@pytest.mark.parametrize("what", ["edge_index", "weight", "batch"])
@pytest.mark.parametrize("how", ["torch", "data", "numpy"])
def test_every_write_is_noticed(what: str, how: str) -> None:
    given: dict[str, Any] = {"edge_index": edges(), "weight": torch.rand(6), "batch": torch.tensor([0, 0, 1, 1, 2])}
    for propagation in (GCN, Propagation(pooled=True)):
        model, tensor = Model(propagation), given[what]
        model(**given)
        place, value = (1, 2) if what == "edge_index" else 2, 0
        if how == "torch":
            tensor[place] = value
        elif how == "data":
            tensor.data[place] = value
        else:
            tensor.numpy()[place] = value
        expected = Graph(given["edge_index"], 5, edge_weight=given["weight"], batch=given["batch"])
        assert same(model(**given), expected.adjacency(propagation))
        tensor.numpy()[place] = 1


@pytest.mark.parametrize("place", [0, 2047, 2048, 65_535, 99_999])
@pytest.mark.parametrize("row", [0, 1])
def test_one_edge_of_many_is_noticed(place: int, row: int) -> None:
    model, edge_index = Model(), torch.randint(5, (2, 100_000))
    model(edge_index)
    edge_index.numpy()[row, place] = (int(edge_index[row, place]) + 1) % 5
    assert same(model(edge_index), Graph(edge_index, 5).adjacency(GCN))


def test_swapped_blocks_and_rows_are_noticed() -> None:
    model, edge_index = Model(), torch.randint(5, (2, 3 * 2048))
    model(edge_index)
    for order in ([1, 0, 2], [0, 2, 1]):
        edge_index.numpy()[:] = edge_index.view(2, 3, 2048)[:, order].reshape(2, -1).numpy()
        assert same(model(edge_index), Graph(edge_index, 5).adjacency(GCN))
    edge_index.numpy()[:] = edge_index.flip(0).numpy()
    assert same(model(edge_index), Graph(edge_index, 5).adjacency(GCN))


def test_another_tensor_another_shape_and_other_nodes_are_told_apart() -> None:
    model, edge_index, weight = Model(), edges(), torch.rand(6)
    made = [model(edge_index), model(edge_index, weight), model(edge_index, nodes=6), model(edge_index.clone())]
    assert len({id(one) for one in made}) == 4
    assert made[2].csr.num_rows == 6
    square = torch.tensor([[0, 1], [2, 3]])
    before = model(square)
    square.t_()
    assert not same(model(square), before)
    assert same(model(square), Graph(square, 5).adjacency(GCN))


def test_wrong_graphs_are_refused_and_not_kept() -> None:
    model = Model()
    for node in (5, -1, 2**31, 2**40):
        edge_index = edges()
        model(edge_index)
        edge_index[1, 2] = node
        for _ in range(2):
            with pytest.raises(InvalidGraphError, match=f"names node {node}, but the graph has nodes"):
                model(edge_index)
    with pytest.raises(InvalidGraphError, match="transpose it"):
        model(edges().t())
    with pytest.raises(InvalidGraphError, match="one for each edge"):
        model(edges(), torch.rand(3))
    with pytest.raises(InvalidGraphError, match="NaN or infinity"):
        model(edges(), torch.full((6,), torch.nan))
    with pytest.raises(InvalidGraphError, match="batch must be int64"):
        model(edges(), None, torch.zeros(3, dtype=torch.int64))
    resized = edges()
    model(resized)
    resized.untyped_storage().resize_(0)
    with pytest.raises(InputError, match="storage was resized"):
        model(resized)


@pytest.mark.parametrize("what", ["edge_index", "weight", "batch"])
def test_memory_goes_with_the_tensors_and_results_with_the_model(what: str) -> None:
    given: dict[str, Any] = {"edge_index": edges(), "weight": torch.rand(6), "batch": torch.zeros(5, dtype=torch.int64)}
    model = Model()
    made = weakref.ref(model(**given))
    assert made() is not None
    del given[what]
    gc.collect()
    assert made() is None
    assert model.graphs[0]() is None
    assert not graph_memory._entries


def test_results_go_with_the_model() -> None:
    model, edge_index = Model(), edges()
    model(edge_index)
    (entry,) = graph_memory._entries.values()
    assert len(entry.prepared) == 1
    del model
    gc.collect()
    assert not entry.prepared


def test_old_graphs_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_memory, "_MOST_ENTRIES", 25)
    model, given = Model(), [edges() for _ in range(5)]
    for edge_index in given:
        model(edge_index)
    assert [next(iter(entry.references))() is not None for entry in graph_memory._entries.values()] == [True] * 2
    large = torch.zeros(2, 100, dtype=torch.int64)
    assert model(large) is model(large)


def test_forms_of_edges() -> None:
    model = Model()
    for edge_index in (edges().int(), edges().t().contiguous().t(), torch.cat([edges(), edges()], dim=1)[:, :6]):
        made = model(edge_index)
        assert same(made, Graph(edges(), 5).adjacency(GCN))
        assert model(edge_index) is made
        edge_index[0, 0] = 3
        assert same(model(edge_index), Graph(edge_index, 5).adjacency(GCN))


def test_what_is_made_in_inference_mode_can_be_used_outside() -> None:
    model, edge_index = Model(), edges()
    with torch.inference_mode():
        made = model(edge_index)
        inference = edges()
        kept = model(inference)
        assert model(inference) is kept
        inference[0, 0] = 3
        assert same(model(inference), Graph(inference, 5).adjacency(GCN))
    assert not made.csr.col.is_inference()
    assert model(edge_index) is made


def test_tensors_of_a_subclass_are_not_kept() -> None:
    class Subclass(Tensor):
        pass

    model, edge_index = Model(), edges().as_subclass(Subclass)
    assert model(edge_index) is not model(edge_index)
    assert not graph_memory._entries


def test_a_gpu_is_not_asked_for_checksums() -> None:
    """There the tensor and torch's count of its writes decide."""
    with pretended_gpu():
        model, edge_index = Model(), edges().to(ELSEWHERE)
        made = model(edge_index)
        assert model(edge_index) is made
        (entry,) = graph_memory._entries.values()
        assert entry.checksums is None
        edge_index[0, 0] = 3
        assert model(edge_index) is not made
        del edge_index, entry
        gc.collect()
        assert not graph_memory._entries
        with torch.inference_mode():
            inference = edges().to(ELSEWHERE)
            assert model(inference) is not model(inference)


def test_threads_agree() -> None:
    model, edge_index = Model(), torch.randint(5, (2, 100_000))
    expected, found = Graph(edge_index, 5).adjacency(GCN), []
    threads = [threading.Thread(target=lambda: found.append(model(edge_index))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(same(one, expected) for one in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_logits_follow_the_graph(name: str, kind: str) -> None:
    model = frozen(name, kind)
    graph = make_graph(graphs=4 if kind == "graph" else None)
    given = arguments(model, graph)
    copies = {key: tensor.clone() for key, tensor in given.items()}
    first = model(**given)
    assert torch.equal(model(**given), first)
    given["edge_index"].numpy()[:] = given["edge_index"].flip(1).roll(1, 0).numpy()
    changed = model(**given)
    assert torch.equal(changed, model(**{key: tensor.clone() for key, tensor in given.items()}))
    assert torch.equal(model(**copies), first)
