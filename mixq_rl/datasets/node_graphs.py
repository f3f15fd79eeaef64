"""Node classification datasets of PyTorch Geometric.

All loaders take the name, the data root and the fold. They raise ``DataNotFoundError`` if the files do not exist and
cannot be downloaded, and ``InputError`` for a fold that does not exist. Their folders are relative to the data root.
Features are those of PyTorch Geometric.
"""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import Amazon, Coauthor, FacebookPagePage, Flickr, Reddit, Twitch, WikipediaNetwork

from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.splits import check_fold, class_split, fraction_split
from mixq_rl.datasets.task import GraphTask, Split

__all__ = [
    "load_amazon",
    "load_coauthor",
    "load_facebook",
    "load_flickr",
    "load_reddit",
    "load_twitch",
    "load_wikipedia",
]

_SPLIT_SEED = 0
_GEOM_GCN_SPLITS = 10


def load_amazon(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Computers or Photo from ``amazon/<name>/raw``; 20 training, 30 validation nodes a class (Shchur, 2018)."""
    check_fold(name, fold)
    return _classes_split(name, _read(name, root, Amazon, "amazon", f"{name}/raw", name=name))


def load_coauthor(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load CS or Physics from ``coauthor/<name>/raw``; 20 training, 30 validation nodes a class (Shchur, 2018)."""
    check_fold(name, fold)
    return _classes_split(name, _read(name, root, Coauthor, "coauthor", f"{name}/raw", name=name))


def load_twitch(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load a language, EN, PT, ..., from ``twitch/<name>/raw``, split 60/20/20 by a fixed seed."""
    check_fold(name, fold)
    return _fractions_split(name, _read(name, root, Twitch, "twitch", f"{name}/raw", name=name))


def load_facebook(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load FacebookPagePage from ``facebook/raw``, split 60/20/20 by a fixed seed."""
    check_fold(name, fold)
    return _fractions_split(name, _read(name, root, FacebookPagePage, "facebook", "raw"))


def load_wikipedia(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Chameleon or Squirrel from ``wikipedia/<name>/geom_gcn/raw``; the fold is one of Geom-GCN's ten splits."""
    chosen = check_fold(name, fold, _GEOM_GCN_SPLITS)
    lower = name.lower()
    data = _read(name, root, WikipediaNetwork, "wikipedia", f"{lower}/geom_gcn/raw", name=lower)
    return _task(name, data, {split: mask[:, chosen] for split, mask in _own_masks(data).items()})


def load_flickr(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Flickr from ``flickr/raw``, with the split of the dataset (Zeng et al., 2020)."""
    check_fold(name, fold)
    data = _read(name, root, Flickr, "flickr", "raw")
    return _task(name, data, _own_masks(data))


def load_reddit(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Reddit from ``reddit/raw``, with the split of the dataset (Hamilton et al., 2017)."""
    check_fold(name, fold)
    data = _read(name, root, Reddit, "reddit", "raw")
    return _task(name, data, _own_masks(data))


def _read(name: str, root: Path, dataset_class: type, folder: str, raw: str, /, **arguments: Any) -> Data:
    with untouched(name, root, f"{folder}/{raw}") as open_dataset:
        return open_dataset(dataset_class, root=str(root / folder), **arguments)[0]


def _own_masks(data: Data) -> dict[Split, Tensor]:
    return {"train": data.train_mask, "validation": data.val_mask, "test": data.test_mask}


def _classes_split(name: str, data: Data) -> GraphTask:
    return _task(name, data, class_split(data.y, train_per_class=20, validation_per_class=30, seed=_SPLIT_SEED))


def _fractions_split(name: str, data: Data) -> GraphTask:
    return _task(name, data, fraction_split(data.num_nodes, train=0.6, validation=0.2, seed=_SPLIT_SEED))


def _task(name: str, data: Data, masks: dict[Split, Tensor]) -> GraphTask:
    return GraphTask(name, data.x.float(), data.edge_index.long(), data.y.long(), masks)
