"""Sizes of the real graphs, and files of the form of those that are not at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask

SPLITS = ("train", "validation", "test")


def sizes(task: GraphTask) -> list[int]:
    return [int(task.masks[split].sum()) for split in SPLITS]


@pytest.mark.parametrize(
    ("name", "nodes", "edges", "classes"),
    [("EN", 7_126, 70_648, 2), ("PT", 1_912, 62_598, 2), ("Facebook", 22_470, 341_646, 4)],
)
def test_graphs_without_a_split_get_60_20_20(data_root: Path, name: str, nodes: int, edges: int, classes: int) -> None:
    before = sorted(data_root.rglob("*"))
    task = mixq_rl.load_task(name, data_root)
    assert sorted(data_root.rglob("*")) == before
    assert (task.kind, task.num_nodes, task.edge_index.shape[1], task.num_classes) == ("node", nodes, edges, classes)
    assert task.num_features == 128
    shares = [size / nodes for size in sizes(task)]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=1e-3)
    assert torch.stack(list(task.masks.values())).sum(dim=0).tolist() == [1] * nodes
    assert torch.equal(task.masks["test"], mixq_rl.load_task(name, data_root, fold=0).masks["test"])
    other = mixq_rl.load_task(name, data_root, fold=9)
    assert sizes(other) == sizes(task)
    common = (other.masks["test"] & task.masks["test"]).sum() / other.masks["test"].sum()
    assert common == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Computers", "amazon/Computers/raw/amazon_electronics_computers.npz"),
        ("Photo", "amazon/Photo/raw/amazon_electronics_photo.npz"),
        ("CS", "coauthor/CS/raw/ms_academic_cs.npz"),
        ("Physics", "coauthor/Physics/raw/ms_academic_phy.npz"),
    ],
)
def test_amazon_and_coauthor_are_split_by_class(tmp_path: Path, name: str, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    matrices = {"attr": sp.eye_array(120, 5, format="csr"), "adj": sp.eye_array(120, k=1, format="csr")}
    arrays = {
        f"{name}_{part}": getattr(matrix, part)
        for name, matrix in matrices.items()
        for part in ("data", "indices", "indptr", "shape")
    }
    np.savez(path, labels=np.arange(120) % 2, **arrays)
    task = mixq_rl.load_task(name, tmp_path)
    assert (task.num_nodes, task.num_features, task.edge_index.shape[1]) == (120, 5, 2 * 119)
    others = [mixq_rl.load_task(name, tmp_path, fold=fold) for fold in (0, 1)]
    assert sizes(task) == sizes(others[1]) == [40, 60, 20]
    assert [torch.equal(task.masks["train"], other.masks["train"]) for other in others] == [True, False]
    assert not list(tmp_path.rglob("processed"))


def test_chameleon_has_ten_splits(tmp_path: Path) -> None:
    raw = tmp_path / "wikipedia" / "chameleon" / "geom_gcn" / "raw"
    raw.mkdir(parents=True)
    rows = "".join(f"{node}\t{node},1\t{node % 2}\n" for node in range(12))
    (raw / "out1_node_feature_label.txt").write_text(f"node_id\tfeature\tlabel\n{rows}")
    (raw / "out1_graph_edges.txt").write_text("node_id\tnode_id\n0\t1\n2\t3\n")
    for fold in range(10):
        place = (np.arange(12) + fold) % 12
        masks = {"train_mask": place < 6, "val_mask": (place >= 6) & (place < 9), "test_mask": place >= 9}
        np.savez(raw / f"chameleon_split_0.6_0.2_{fold}.npz", **masks)
    tasks = [mixq_rl.load_task("Chameleon", tmp_path, fold=fold) for fold in (0, 9)]
    assert [task.masks["train"].nonzero()[0].item() for task in tasks] == [0, 3]
    assert sizes(tasks[0]) == [6, 3, 3]
    assert tasks[0].edge_index.tolist() == [[0, 2], [1, 3]]


def test_flickr_has_its_own_split(tmp_path: Path) -> None:
    raw = tmp_path / "flickr" / "raw"
    raw.mkdir(parents=True)
    adjacency = sp.eye_array(6, k=1, format="csr")
    np.savez(
        raw / "adj_full.npz",
        data=adjacency.data,
        indices=adjacency.indices,
        indptr=adjacency.indptr,
        shape=adjacency.shape,
    )
    np.save(raw / "feats.npy", np.ones((6, 2)))
    (raw / "class_map.json").write_text(json.dumps({str(node): node % 2 for node in range(6)}))
    (raw / "role.json").write_text(json.dumps({"tr": [0, 1, 2], "va": [3, 4], "te": [5]}))
    task = mixq_rl.load_task("Flickr", tmp_path)
    assert sizes(task) == [3, 2, 1]
    assert task.edge_index.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]


def test_reddit_has_its_own_split(tmp_path: Path) -> None:
    raw = tmp_path / "reddit" / "raw"
    raw.mkdir(parents=True)
    np.savez(
        raw / "reddit_data.npz",
        feature=np.ones((6, 2)),
        label=np.arange(6) % 3,
        node_types=np.array([1, 1, 1, 2, 2, 3]),
    )
    sp.save_npz(raw / "reddit_graph.npz", sp.coo_matrix(np.eye(6, k=1)))
    task = mixq_rl.load_task("Reddit", tmp_path)
    assert (sizes(task), task.num_classes) == ([3, 2, 1], 3)


def test_the_edges_of_reddit_exceed_the_limit_on_unknown_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "reddit" / "raw"
    raw.mkdir(parents=True)
    nodes = 6_000
    node_types = np.arange(nodes) % 3 + 1
    np.savez(raw / "reddit_data.npz", feature=np.ones((nodes, 2)), label=np.arange(nodes) % 3, node_types=node_types)
    sp.save_npz(raw / "reddit_graph.npz", sp.coo_matrix(sp.eye_array(nodes, k=1)))
    size = (raw / "reddit_graph.npz").stat().st_size
    assert 2 * size < 3 * (nodes - 1) * 8
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", str(size))
    assert mixq_rl.load_task("Reddit", tmp_path).edge_index.shape == (2, nodes - 1)
