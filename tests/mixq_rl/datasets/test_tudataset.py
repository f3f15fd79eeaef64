from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError

SPLITS = ("train", "validation", "test")


def write(root: Path, name: str = "TINY", graphs: int = 20, **files: str) -> Path:
    """Write paths of two and three nodes by turns, with files beside that replace or add to the usual ones."""
    raw = root / "tudataset" / name / "raw"
    raw.mkdir(parents=True)
    indicator, edges, node = [], [], 1
    for graph in range(graphs):
        size = 2 + graph % 2
        indicator += [graph + 1] * size
        edges += [pair for first in range(node, node + size - 1) for pair in ((first, first + 1), (first + 1, first))]
        node += size
    contents = {
        "A": "".join(f"{source}, {target}\n" for source, target in edges),
        "graph_indicator": "".join(f"{graph}\n" for graph in indicator),
        "graph_labels": "".join(f"{1 - 2 * (graph % 2)}\n" for graph in range(graphs)),
        **files,
    }
    for part, content in contents.items():
        (raw / f"{name}_{part}.txt").write_text(content)
    return root


@pytest.mark.parametrize(
    ("name", "graphs", "nodes", "edges", "features"),
    [("PROTEINS", 1_113, 43_471, 162_088, 3), ("MUTAG", 188, 3_371, 7_442, 7)],
)
def test_real_graphs(data_root: Path, name: str, graphs: int, nodes: int, edges: int, features: int) -> None:
    before = sorted(data_root.rglob("*"))
    task = mixq_rl.load_task(name, data_root)
    assert sorted(data_root.rglob("*")) == before
    assert (task.kind, task.num_graphs, task.num_nodes) == ("graph", graphs, nodes)
    assert (task.edge_index.shape[1], task.num_features, task.num_classes) == (edges, features, 2)
    tested = sum(mixq_rl.load_task(name, data_root, fold=fold).masks["test"].int() for fold in (0, 5, 9))
    assert int(torch.as_tensor(tested).max()) == 1
    shares = [task.y[task.masks[split]].double().mean().item() for split in SPLITS]
    assert shares == pytest.approx([task.y.double().mean().item()] * 3, abs=0.05)


def test_proteins_are_known_by_their_labels(data_root: Path) -> None:
    task = mixq_rl.load_task("PROTEINS", data_root, fold=2)
    assert task.x.unique().tolist() == [0, 1]
    assert task.x.sum(dim=1).unique().tolist() == [1]


def test_featureless_graphs_get_one_hot_degrees(tmp_path: Path) -> None:
    task = mixq_rl.load_task("tu:TINY", write(tmp_path))
    assert (task.num_graphs, task.num_nodes, task.num_features) == (20, 50, 3)
    assert task.x[:5].tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert task.y.tolist() == [1, 0] * 10
    assert [int(task.masks[split].sum()) for split in SPLITS] == [16, 2, 2]
    assert not list(tmp_path.rglob("processed"))


def test_labels_go_before_attributes(tmp_path: Path) -> None:
    labels = "".join(f"{node % 3}\n" for node in range(50))
    attributes = "".join(f"{node / 10}, {node % 2}\n" for node in range(50))
    task = mixq_rl.load_task("tu:TINY", write(tmp_path, node_labels=labels, node_attributes=attributes))
    assert task.num_features == 3
    assert torch.equal(task.x.argmax(dim=1), torch.arange(50) % 3)
    assert task.x.sum(dim=1).unique().tolist() == [1]


def test_attributes_are_standardised_by_the_training_graphs(tmp_path: Path) -> None:
    attributes = "".join(f"{node / 10}, {node * node}\n" for node in range(50))
    task = mixq_rl.load_task("tu:TINY", write(tmp_path, node_attributes=attributes), fold=2)
    assert task.batch is not None
    assert task.num_features == 2
    assert float(task.x[:, 0].diff().min()) > 0
    known = task.x[task.masks["train"][task.batch]].double()
    assert known.mean(dim=0).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert known.std(dim=0, unbiased=False).tolist() == pytest.approx([1, 1], abs=0.05)


def test_regression_is_refused(tmp_path: Path) -> None:
    write(tmp_path, graph_attributes="".join(f"{graph / 3}\n" for graph in range(20)))
    with pytest.raises(InvalidGraphError, match="TINY has other labels than one class for each graph"):
        mixq_rl.load_task("tu:TINY", tmp_path)


def test_names_are_completed_in_their_own_case(tmp_path: Path) -> None:
    write(tmp_path, "PROTEINS")
    for name in ("proteins", "tu:Proteins"):
        assert mixq_rl.load_task(name, tmp_path).name == "PROTEINS"


def test_unknown_names_are_answered_with_where_they_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.datasets import TUDataset

    def not_found(dataset: TUDataset) -> None:
        raise FileNotFoundError("https://www.chrsmrrs.com/graphkerneldatasets/NONE.zip")

    monkeypatch.setattr(TUDataset, "download", not_found)
    with pytest.raises(DataNotFoundError, match=r"NONE\.zip\): copy the files NONE_A\.txt.*; the names are listed at"):
        mixq_rl.load_task("tu:NONE", tmp_path)


def test_folds_are_ten() -> None:
    with pytest.raises(InputError, match=r"MUTAG has no fold 10: it has folds 0\.\.\.9"):
        mixq_rl.load_task("MUTAG", fold=10)
