"""R-MAT graphs: sizes, form of the edges, degrees, and labels that the edges help to learn."""

import hashlib
from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.catalogue import reads_root
from mixq_rl.datasets.rmat import load_rmat
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError, UnknownNameError

SCALES = [8, 10, 12]


@pytest.mark.parametrize("scale", SCALES)
def test_has_2_to_the_scale_nodes_in_classes_of_one_size(scale: int) -> None:
    task = mixq_rl.load_task(f"rmat-{scale}")
    nodes = 2**scale
    assert (task.name, task.kind, task.metric) == (f"rmat-{scale}", "node", "accuracy")
    assert (task.num_nodes, task.num_features, task.num_classes) == (nodes, 64, 16)
    assert torch.bincount(task.y).tolist() == [nodes // 16] * 16
    sizes = [int(mask.sum()) / nodes for mask in task.masks.values()]
    assert sizes == pytest.approx([0.6, 0.2, 0.2], abs=1 / nodes)
    assert 20 * nodes < task.edge_index.shape[1] <= 52 * nodes


@pytest.mark.parametrize("scale", SCALES)
def test_edges_are_mutual_without_duplicates_or_loops(scale: int) -> None:
    task = load_rmat(scale)
    source, target = task.edge_index
    there = source * task.num_nodes + target
    assert not bool((source == target).any())
    assert len(there.unique()) == len(there)
    assert torch.equal(there.sort().values, (target * task.num_nodes + source).sort().values)


def test_degrees_have_a_heavy_tail() -> None:
    task = load_rmat(14)
    degree = torch.bincount(task.edge_index[0], minlength=task.num_nodes).sort(descending=True).values
    assert float(degree.double().mean()) > 3 * float(degree.median())
    assert int(degree[: len(degree) // 100].sum()) > 0.2 * int(degree.sum())
    assert int((degree == 0).sum()) < len(degree) / 1000
    # Of a distribution with a light tail, none has ten times the mean.
    shares = [float((degree > times * degree.double().mean()).double().mean()) for times in (2, 10, 50)]
    assert 0.05 < shares[0] < 0.2
    assert 0.003 < shares[1] < 0.03
    assert shares[2] > 0.0003


@pytest.mark.parametrize("seed", [0, 1])
def test_a_degree_says_nothing_of_the_split(seed: int) -> None:
    task = load_rmat(14, seed)
    degree = torch.bincount(task.edge_index[0], minlength=task.num_nodes).double().log1p()
    for mask in task.masks.values():
        assert abs(float(degree[mask].mean() - degree.mean())) < 4 * float(degree.std()) / int(mask.sum()) ** 0.5


def test_a_degree_says_nothing_of_the_class_and_a_number_nothing_of_the_degree() -> None:
    task = load_rmat(14)
    degree = torch.bincount(task.edge_index[0], minlength=task.num_nodes).double().log1p()
    means = torch.stack([degree[task.y == label].mean() for label in range(16)])
    assert float(means.std()) < 0.05 * float(degree.std())
    position = torch.arange(task.num_nodes).double()
    assert abs(float(torch.corrcoef(torch.stack([degree, position]))[0, 1])) < 0.03


def fingerprint(*tensors: torch.Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()[:16]


def test_is_determined_by_its_seed() -> None:
    one, same, other = load_rmat(10), mixq_rl.load_task("RMAT-10"), load_rmat(10, seed=1)
    of_one, of_same, of_other = (
        fingerprint(task.x, task.edge_index, task.y, *task.masks.values()) for task in (one, same, other)
    )
    assert of_one == of_same != of_other
    # The edges come from integers alone, on every machine.
    assert fingerprint(load_rmat(8).edge_index, load_rmat(8).y) == "610b64618ca82229"


def test_neighbours_agree_more_often_than_by_chance() -> None:
    task = load_rmat(12)
    agreeing = float((task.y[task.edge_index[0]] == task.y[task.edge_index[1]]).double().mean())
    assert 4 / 16 < agreeing < 0.5


def accuracy(task: GraphTask, model: str) -> float:
    network = mixq_rl.build_model(model, task, hidden_channels=32)
    mixq_rl.fit(network, task, epochs=40)
    return task.accuracy(network(task.x, task.edge_index), "test")


def test_edges_help_to_learn_the_classes_and_do_not_give_them_away() -> None:
    task = load_rmat(11)
    without = accuracy(replace(task, edge_index=task.edge_index[:, :0]), "gcn")
    assert 3 / 16 < without < 0.6
    for model, margin in (("gcn", 0.15), ("sage", 0.08)):
        assert without + margin < accuracy(task, model) < 0.95


@pytest.mark.parametrize(
    "name", ["rmat-x", "rmat-", "rmat-7", "rmat-25", "rmat--8", "rmat-1e1", "rmat-٩", "rmat-999999"]
)
def test_other_scales_are_answered_with_one_line(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        mixq_rl.load_task(name)
    assert str(error.value) == f"{name!r} names no graph: write rmat-8 to rmat-24, such as rmat-16 for 2^16 nodes"


def test_files_and_folds_are_told_apart_from_names() -> None:
    with pytest.raises(DataNotFoundError, match=r"graph file 'rmat-9\.npz' does not exist"):
        mixq_rl.load_task("rmat-9.npz")
    with pytest.raises(InvalidGraphError, match=r"files ending in '\.csv' are not read"):
        mixq_rl.load_task("rmat-9.csv")
    with pytest.raises(UnknownNameError, match=r"rmat-SCALE for a power-law graph of 2\^SCALE nodes"):
        mixq_rl.load_task("rmat")
    with pytest.raises(InputError, match="rmat-9 has no fold 1: it has one split"):
        mixq_rl.load_task("rmat-9", fold=1)
    assert [reads_root(name) for name in ("rmat-9", "RMAT-9", "rmat", "Cora")] == [False, False, True, True]
