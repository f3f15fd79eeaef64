"""Files of ``torch.save`` with objects of PyTorch Geometric, which are read without unpickling them."""

import copyreg
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset, TemporalData

import mixq_rl
from mixq_rl.datasets import load_prediction_inputs
from mixq_rl.errors import InvalidGraphError

LEGACY = {"_use_new_zipfile_serialization": False}
NODES = 12


def entries(**changes: Any) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    graph = {
        "x": torch.randn(NODES, 3, generator=draw),
        "edge_index": torch.randint(NODES, (2, 30), generator=draw),
        "y": torch.arange(NODES) % 3,
    }
    return {**graph, **changes}


def load(path: Path, value: Any, **options: Any) -> mixq_rl.GraphTask:
    torch.save(value, path / "graph.pt", **options)
    return mixq_rl.load_task(str(path / "graph.pt"))


class Mine(Data):
    """A class of the user's own script, which is not imported."""


def graphs(count: int = 12, **options: Any) -> list[Data]:
    draw = torch.Generator().manual_seed(1)
    return [
        Data(
            x=torch.randn(2 + number % 3, 4, generator=draw),
            edge_index=torch.tensor([[0, 1], [1, 0]]),
            y=torch.tensor([number % 2]),
            **options,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize("kind", [Data, Mine])
def test_data_objects_are_read(tmp_path: Path, kind: type[Data], options: dict[str, Any]) -> None:
    expected = entries()
    task = load(tmp_path, kind(**expected, pos=torch.ones(NODES, 2), name="mine", num_nodes=NODES), **options)
    assert torch.equal(task.x, expected["x"])
    assert torch.equal(task.edge_index, expected["edge_index"])
    assert torch.equal(task.y, expected["y"])
    assert f"a {kind.__name__} of PyTorch Geometric" in task.notes[0]
    assert "not used: pos, name" in task.notes


def test_data_of_old_versions_are_read(tmp_path: Path) -> None:
    old = Data.__new__(Data)
    old.__dict__.update({**entries(), "edge_attr": None})
    assert "_store" not in old.__dict__
    torch.save(old, tmp_path / "graph.pt", pickle_module=_PlainState)
    assert mixq_rl.load_task(str(tmp_path / "graph.pt")).num_nodes == NODES


class _PlainState:
    """``pickle`` that writes the attributes of an object as they are, as PyTorch Geometric 1 did."""

    dumps = pickle.dumps

    class Pickler(pickle._Pickler):  # type: ignore[name-defined]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, Data):
                return copyreg.__newobj__, (Data,), value.__dict__  # type: ignore[attr-defined]
            return NotImplemented


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_lists_and_batches_are_graphs_to_classify(tmp_path: Path, options: dict[str, Any]) -> None:
    many = graphs()
    expected = Batch.from_data_list(many)
    for value in (many, tuple(many), expected, [graph.to_dict() for graph in many]):
        task = load(tmp_path, value, **options)
        assert (task.kind, task.num_graphs) == ("graph", 12)
        assert torch.equal(task.x, expected.x)
        assert torch.equal(task.edge_index, expected.edge_index)
        assert torch.equal(task.batch, expected.batch)
        assert torch.equal(task.y, expected.y)


def test_in_memory_datasets_are_graphs_to_classify(tmp_path: Path) -> None:
    many = graphs(edge_weight=torch.ones(2))
    expected = Batch.from_data_list(many)
    data, slices = InMemoryDataset.collate(many)
    InMemoryDataset.save(many, str(tmp_path / "saved.pt"))
    task = mixq_rl.load_task(str(tmp_path / "saved.pt"))
    for found in (task, load(tmp_path, (data, slices)), load(tmp_path, (data.to_dict(), slices))):
        assert torch.equal(found.edge_index, expected.edge_index)
        assert torch.equal(found.batch, expected.batch)
        assert found.edge_weight is not None
        assert "in-memory dataset" in found.notes[0]


def test_in_memory_dataset_of_one_graph(tmp_path: Path) -> None:
    data, slices = InMemoryDataset.collate([Data(**entries())])
    assert load(tmp_path, (data, slices)).kind == "node"
    assert load(tmp_path, [Data(**entries())]).kind == "node"


def test_nodes_of_several_graphs_are_classified_together(tmp_path: Path) -> None:
    task = load(tmp_path, [Data(**entries()), Data(**entries())])
    assert (task.kind, task.num_nodes) == ("node", 2 * NODES)
    assert int(task.edge_index[:, 30:].min()) >= NODES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edge_index": torch.tensor([0, 1, 99])}, "do not begin and end within edge_index"),
        ({"x": torch.tensor([0, 40, 39])}, "do not begin and end within x"),
        ({"x": torch.tensor([0.0, 1.0])}, "does not say where its graphs begin in x"),
        ({"x": torch.tensor([0, 35])}, "1 graphs in x, 12 in edge_index|do not begin and end"),
        ({"edge_index": None}, "does not say where its graphs begin in edge_index"),
    ],
)
def test_slices_that_lie_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    data, slices = InMemoryDataset.collate(graphs())
    with pytest.raises(InvalidGraphError, match=message):
        load(tmp_path, (data, {**slices, **change}))


def test_graphs_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidGraphError, match=r"have x of different widths .*: \[\d+, \d+\] in graph 0, \[\d+, \d+\] in graph 12"
    ):
        load(tmp_path, [*graphs(), Data(**entries())])
    with pytest.raises(InvalidGraphError, match="graph 12 of 13 has no x"):
        load(tmp_path, [*graphs(), Data(edge_index=torch.tensor([[0], [0]]))])


def test_heterogeneous_graphs_are_named(tmp_path: Path) -> None:
    data = HeteroData()
    data["paper"].x = torch.ones(3, 2)
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0], [1]])
    with pytest.raises(InvalidGraphError, match=r"holds a HeteroData: .* data\.to_homogeneous\(\)"):
        load(tmp_path, data)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (TemporalData(src=torch.tensor([0]), dst=torch.tensor([1]), t=torch.tensor([2])), "x, edge_index, y missing"),
        (
            torch.nn.Linear(2, 2),
            r"a dictionary of tensors, which is what torch\.save\(data\.to_dict\(\), \.\.\.\) writes",
        ),
        (torch.nn.Linear(2, 2).state_dict(), "x, edge_index, y missing; it holds weight, bias"),
        (torch.ones(3), "cannot be read as a graph of plain arrays"),
        ([], "not a list"),
        ((), "not a tuple"),
        (3, "not a int"),
        (None, "not a NoneType"),
        ("graph", "not a str"),
        (Data(), "x, edge_index, y missing; it holds nothing"),
        ([{"x": 1}, 2], "not a list"),
        ({"x": np.array(["a"], dtype=object)}, "x: it holds other objects|array of other values|objects"),
        ({**entries(), "y": Path("a")}, "y: it holds other objects than a dictionary of tensors"),
        (entries(y=["a", 1] * 6), "y must be a dense, real tensor"),
        (entries(batch="ab"), "batch must be a dense, real tensor"),
    ],
)
def test_anything_else_is_answered_with_one_line(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message) as error:
        load(tmp_path, value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_arrays_lists_and_words_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = entries()
    arrays = {name: tensor.numpy() for name, tensor in expected.items()}
    task = load(tmp_path, arrays, **options)
    assert torch.equal(task.x, expected["x"])
    assert torch.equal(task.y, expected["y"])
    lists = load(tmp_path, {name: tensor.tolist() for name, tensor in expected.items()}, **options)
    assert torch.equal(lists.x, expected["x"])
    words = load(tmp_path, entries(y=[f"class {label}" for label in expected["y"].tolist()]), **options)
    assert words.class_names == ("class 0", "class 1", "class 2")
    assert torch.equal(words.y, expected["y"])


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_other_entries_may_be_anything(tmp_path: Path, options: dict[str, Any]) -> None:
    other = {"num_nodes": np.int64(12), "name": np.str_("a"), "club": ["a"], "when": {"a": (1, 2)}, "f": np.float32(1)}
    task = load(tmp_path, entries(**other, edge_attr="text", train_idx="all"), **options)
    assert task.num_nodes == NODES
    assert any(note == "not used: name, club, when, f" for note in task.notes)
    assert any("edge_attr is not used" in note for note in task.notes)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_features_become_dense(tmp_path: Path) -> None:
    x = torch.eye(NODES, 5)
    for sparse in (x.to_sparse(), x.to_sparse_csr(), x.to_sparse_csc()):
        task = load(tmp_path, entries(x=sparse))
        assert torch.equal(task.x, x)
        assert "x [12, 5] was sparse" in task.notes[0]
    huge = torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.ones(1), (10**6, 10**6))
    with pytest.raises(InvalidGraphError, match="MIXQ_RL_MAX_DATA_BYTES raises this limit"):
        load(tmp_path, entries(x=huge))


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_transposed_adjacencies_are_edges(tmp_path: Path, layout: torch.layout) -> None:
    edges = torch.tensor([[0, 3, 4], [1, 2, 2]])
    weight = torch.tensor([1.0, 2.0, 3.0])
    adjacency = torch.zeros(NODES, NODES)
    adjacency[edges[1], edges[0]] = weight
    graph = entries(adj_t=adjacency.to_sparse(layout=layout))
    del graph["edge_index"]
    task = load(tmp_path, Data(**graph))
    assert task.edge_weight is not None
    found = {(int(s), int(t)): float(w) for s, t, w in zip(*task.edge_index, task.edge_weight, strict=True)}
    assert found == {(0, 1): 1.0, (3, 2): 2.0, (4, 2): 3.0}
    assert any("adj_t was read as edge_index and edge_weight" in note for note in task.notes)


def test_predictions_read_the_same_files(tmp_path: Path) -> None:
    torch.save(Data(**entries(y=None)), tmp_path / "graph.pt")
    assert load_prediction_inputs(str(tmp_path / "graph.pt")).y is None
    torch.save(Data(**entries(y=torch.full((NODES,), -1))), tmp_path / "graph.pt")
    assert load_prediction_inputs(str(tmp_path / "graph.pt")).y is None
