"""Small honest files of each kind that data are read from."""

import json
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch_geometric.data import Data, InMemoryDataset


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        write: writes the honest files into a folder.
        damaged: names of the files that are damaged in turn, below the folder.
        dataset: name of the dataset, or of the file below the folder.
        zipped: whether the files are zip archives.
    """

    write: Callable[[Path], Any]
    damaged: tuple[str, ...]
    dataset: str
    zipped: bool = False


def arrays() -> dict[str, np.ndarray]:
    return {
        "x": np.random.default_rng(0).random((12, 4)).astype(np.float32),
        "edge_index": np.array([[0, 1, 2], [1, 2, 3]]),
        "y": np.arange(12) % 3,
        "edge_weight": np.ones(3),
    }


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays().items()}


def write_data(root: Path, **options: Any) -> None:
    adjacency = torch.sparse_coo_tensor(torch.tensor([[1, 2], [0, 1]]), torch.ones(2), (12, 12), check_invariants=True)
    graph = {"x": torch.eye(12).to_sparse(), "y": torch.arange(12) % 3, "adj_t": adjacency, "edge_attr": torch.ones(2)}
    torch.save(Data(**graph), root / "g.pt", **options)


def write_dataset(root: Path) -> None:
    edges = torch.tensor([[0, 1], [1, 0]])
    graphs = [Data(x=torch.ones(3, 2), edge_index=edges, y=torch.tensor([number % 2])) for number in range(12)]
    data, slices = InMemoryDataset.collate(graphs)
    torch.save((data.to_dict(), slices, Data), root / "g.pt")  # as InMemoryDataset.save does


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_planetoid(root: Path) -> None:
    raw = _folder(root, "planetoid/CiteSeer/raw")
    count, test = 520, 8
    features = sp.random_array((count, 6), density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    matrix = sp.csr_matrix(features)
    classes = np.eye(3, dtype=np.int32)[np.arange(count) % 3]
    graph = defaultdict(list, {node: [(node + 1) % count, (node + 5) % count] for node in range(count)})
    train, known = 6, count - test
    parts = {"x": matrix[:train], "allx": matrix[:known], "tx": matrix[known:], "graph": graph}
    parts |= {"y": classes[:train], "ally": classes[:known], "ty": classes[known:]}
    for name, part in parts.items():
        (raw / f"ind.citeseer.{name}").write_bytes(pickle.dumps(part, protocol=2))
    (raw / "ind.citeseer.test.index").write_text("".join(f"{node}\n" for node in range(known, count)))


def write_amazon(root: Path) -> None:
    matrices = {"attr": sp.eye_array(120, 5, format="csr"), "adj": sp.eye_array(120, k=1, format="csr")}
    parts = {
        f"{name}_{part}": getattr(matrix, part)
        for name, matrix in matrices.items()
        for part in ("data", "indices", "indptr", "shape")
    }
    np.savez(_folder(root, "amazon/Photo/raw") / "amazon_electronics_photo.npz", labels=np.arange(120) % 2, **parts)


def write_twitch(root: Path) -> None:
    features = np.random.default_rng(0).random((30, 3))
    edges = np.stack([np.arange(29), np.arange(29) + 1], axis=1)
    path = _folder(root, "twitch/EN/raw") / "EN.npz"
    np.savez_compressed(path, features=features, edges=edges, target=np.arange(30) % 2)


def write_wikipedia(root: Path) -> None:
    raw = _folder(root, "wikipedia/chameleon/geom_gcn/raw")
    rows = "".join(f"{node}\t{node},1\t{node % 2}\n" for node in range(12))
    (raw / "out1_node_feature_label.txt").write_text(f"node_id\tfeature\tlabel\n{rows}")
    (raw / "out1_graph_edges.txt").write_text("node_id\tnode_id\n0\t1\n2\t3\n")
    masks = {"train_mask": np.arange(12) < 6, "val_mask": np.arange(12) // 3 == 2, "test_mask": np.arange(12) >= 9}
    for fold in range(10):
        np.savez(raw / f"chameleon_split_0.6_0.2_{fold}.npz", **masks)


def write_flickr(root: Path) -> None:
    raw = _folder(root, "flickr/raw")
    adjacency = sp.eye_array(6, k=1, format="csr")
    np.savez(
        raw / "adj_full.npz", **{part: getattr(adjacency, part) for part in ("data", "indices", "indptr", "shape")}
    )
    np.save(raw / "feats.npy", np.eye(6, 2))
    (raw / "class_map.json").write_text(json.dumps({str(node): node % 2 for node in range(6)}))
    (raw / "role.json").write_text(json.dumps({"tr": [0, 1, 2], "va": [3, 4], "te": [5]}))


def write_reddit(root: Path) -> None:
    raw = _folder(root, "reddit/raw")
    node_types = np.array([1, 1, 1, 2, 2, 3])
    np.savez(raw / "reddit_data.npz", feature=np.eye(6, 2), label=np.arange(6) % 3, node_types=node_types)
    sp.save_npz(raw / "reddit_graph.npz", sp.coo_matrix(np.eye(6, k=1)))


def write_images(root: Path, **options: Any) -> None:
    def image(label: int) -> dict[str, torch.Tensor]:
        edges = torch.tensor([[0, 1], [1, 0]])
        return {"x": torch.ones(3, 1), "pos": torch.rand(3, 2), "edge_index": edges, "y": torch.tensor([label])}

    parts = ([image(0), image(1), image(2)], [image(1)], [image(2), image(0)])
    torch.save(parts, _folder(root, "gnnbenchmark/MNIST/raw") / "MNIST_v2.pt", **options)


def write_texts(root: Path) -> None:
    raw = _folder(root, "tudataset/MUTAG/raw")
    graphs = 12
    nodes = range(1, 2 * graphs + 1)
    (raw / "MUTAG_A.txt").write_text("".join(f"{n}, {n + 1}\n{n + 1}, {n}\n" for n in nodes if n % 2))
    (raw / "MUTAG_graph_indicator.txt").write_text("".join(f"{(n + 1) // 2}\n" for n in nodes))
    (raw / "MUTAG_graph_labels.txt").write_text("".join(f"{graph % 2}\n" for graph in range(graphs)))
    (raw / "MUTAG_node_labels.txt").write_text("".join(f"{n % 3}\n" for n in nodes))
    (raw / "MUTAG_node_attributes.txt").write_text("".join(f"{n}, 0.5\n" for n in nodes))


_LEGACY = {"_use_new_zipfile_serialization": False}
_CITESEER = tuple(f"planetoid/CiteSeer/raw/ind.citeseer.{part}" for part in ("allx", "ally", "graph", "tx"))
_MUTAG = ("A", "graph_indicator", "graph_labels", "node_labels", "node_attributes")
_WIKIPEDIA = ("out1_node_feature_label.txt", "out1_graph_edges.txt")
_CHAMELEON = "wikipedia/chameleon/geom_gcn/raw/"
_IMAGES = ("gnnbenchmark/MNIST/raw/MNIST_v2.pt",)

KINDS = {
    "npz": Kind(lambda root: np.savez(root / "g.npz", **arrays()), ("g.npz",), "g.npz", True),
    "compressed npz": Kind(lambda root: np.savez_compressed(root / "g.npz", **arrays()), ("g.npz",), "g.npz", True),
    "pt": Kind(lambda root: torch.save(tensors(), root / "g.pt"), ("g.pt",), "g.pt", True),
    "pt of Data": Kind(write_data, ("g.pt",), "g.pt", True),
    "pt of an in-memory dataset": Kind(write_dataset, ("g.pt",), "g.pt", True),
    "pt of arrays": Kind(lambda root: torch.save(arrays(), root / "g.pt"), ("g.pt",), "g.pt", True),
    "legacy pt of Data": Kind(lambda root: write_data(root, **_LEGACY), ("g.pt",), "g.pt"),
    "legacy pt": Kind(lambda root: torch.save(tensors(), root / "g.pt", **_LEGACY), ("g.pt",), "g.pt"),
    "Planetoid's pickles": Kind(write_planetoid, _CITESEER, "CiteSeer"),
    "Planetoid's test nodes": Kind(write_planetoid, ("planetoid/CiteSeer/raw/ind.citeseer.test.index",), "CiteSeer"),
    "Amazon": Kind(write_amazon, ("amazon/Photo/raw/amazon_electronics_photo.npz",), "Photo", True),
    "Twitch": Kind(write_twitch, ("twitch/EN/raw/EN.npz",), "EN", True),
    "Wikipedia's texts": Kind(write_wikipedia, tuple(_CHAMELEON + name for name in _WIKIPEDIA), "Chameleon"),
    "Wikipedia's masks": Kind(write_wikipedia, (f"{_CHAMELEON}chameleon_split_0.6_0.2_0.npz",), "Chameleon", True),
    "Flickr's array": Kind(write_flickr, ("flickr/raw/feats.npy",), "Flickr"),
    "Flickr's JSON": Kind(write_flickr, ("flickr/raw/class_map.json", "flickr/raw/role.json"), "Flickr"),
    "Flickr's matrix": Kind(write_flickr, ("flickr/raw/adj_full.npz",), "Flickr", True),
    "Reddit": Kind(write_reddit, ("reddit/raw/reddit_data.npz", "reddit/raw/reddit_graph.npz"), "Reddit", True),
    "GNNBenchmark": Kind(write_images, _IMAGES, "MNIST", True),
    "legacy GNNBenchmark": Kind(lambda root: write_images(root, **_LEGACY), _IMAGES, "MNIST"),
    "TUDataset": Kind(write_texts, tuple(f"tudataset/MUTAG/raw/MUTAG_{part}.txt" for part in _MUTAG), "MUTAG"),
}
"""Kinds of files by name."""
