"""Node classification datasets of PyTorch Geometric.

All loaders take the name, the data root and the fold. They raise ``DataNotFoundError`` if the files are damaged, or do
not exist and cannot be downloaded, ``InvalidGraphError`` if they would take too much memory or contradict each other,
and ``InputError`` for a fold that does not exist. Their folders are relative to the data root.
Features are those of PyTorch Geometric.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import Amazon, Coauthor, FacebookPagePage, Flickr, Reddit, Twitch, WikipediaNetwork

from mixq_rl.datasets.consistency import check_features, check_labels
from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.splits import check_fold, class_split, fraction_split
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import InvalidGraphError

__all__ = [
    "load_amazon",
    "load_coauthor",
    "load_facebook",
    "load_flickr",
    "load_reddit",
    "load_twitch",
    "load_wikipedia",
]

_SPLITS = 10
_MEMORY = {
    "CS": 2 * 18_333 * 6_805 * 4,  # two copies of the features, which are sparse in the file
    "Physics": 2 * 34_493 * 8_415 * 4,
    "Reddit": 3 * 114_615_892 * 8,  # rows, columns and values of the edges, which are compressed in the file
}


def load_amazon(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Computers or Photo from ``amazon/<name>/raw``; 20 training, 30 validation nodes a class.

    The fold is one of ten random splits (as in Shchur et al., 2018).
    """
    chosen = check_fold(name, fold, _SPLITS)
    return _load(name, root, Amazon, "amazon", f"{name}/raw", partial(_classes_split, chosen), name=name)


def load_coauthor(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load CS or Physics from ``coauthor/<name>/raw``; 20 training, 30 validation nodes a class.

    The fold is one of ten random splits (as in Shchur et al., 2018).
    """
    chosen = check_fold(name, fold, _SPLITS)
    return _load(name, root, Coauthor, "coauthor", f"{name}/raw", partial(_classes_split, chosen), name=name)


def load_twitch(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load a language, EN, PT, ..., from ``twitch/<name>/raw``, 60/20/20; the fold is one of ten random splits."""
    chosen = check_fold(name, fold, _SPLITS)
    return _load(name, root, Twitch, "twitch", f"{name}/raw", partial(_fractions_split, chosen), name=name)


def load_facebook(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load FacebookPagePage from ``facebook/raw``, 60/20/20; the fold is one of ten random splits."""
    chosen = check_fold(name, fold, _SPLITS)
    return _load(name, root, FacebookPagePage, "facebook", "raw", partial(_fractions_split, chosen))


def load_wikipedia(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Chameleon or Squirrel from ``wikipedia/<name>/geom_gcn/raw``; the fold is one of Geom-GCN's ten splits."""
    chosen = check_fold(name, fold, _SPLITS)
    lower = name.lower()

    def split(data: Data) -> dict[Split, Tensor]:
        return {part: mask[:, chosen] for part, mask in _own_masks(data).items()}

    return _load(name, root, WikipediaNetwork, "wikipedia", f"{lower}/geom_gcn/raw", split, name=lower)


def load_flickr(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Flickr from ``flickr/raw``, with the split of the dataset (Zeng et al., 2020)."""
    check_fold(name, fold)
    return _load(name, root, Flickr, "flickr", "raw", _own_masks)


def load_reddit(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load Reddit from ``reddit/raw``, with the split of the dataset (Hamilton et al., 2017)."""
    check_fold(name, fold)
    return _load(name, root, Reddit, "reddit", "raw", _own_masks)


def _load(
    name: str,
    root: Path,
    dataset_class: type,
    folder: str,
    raw: str,
    split: Callable[[Data], dict[Split, Tensor]],
    /,
    **arguments: Any,
) -> GraphTask:
    with untouched(name, root, f"{folder}/{raw}", expected=_MEMORY.get(name, 0)) as open_dataset:
        data = open_dataset(dataset_class, root=str(root / folder), **arguments)[0]
        x, y = data.x.float(), data.y.long()
        check_features(x)
        check_labels(y, len(x), "node")
        if int(y.max()) >= len(y):
            raise InvalidGraphError(f"{name} has class {int(y.max())}, but only {len(y)} nodes")
        return GraphTask(name, x, data.edge_index.long(), y, split(data))


def _own_masks(data: Data) -> dict[Split, Tensor]:
    return {"train": data.train_mask, "validation": data.val_mask, "test": data.test_mask}


def _classes_split(seed: int, data: Data) -> dict[Split, Tensor]:
    return class_split(data.y.long(), train_per_class=20, validation_per_class=30, seed=seed)


def _fractions_split(seed: int, data: Data) -> dict[Split, Tensor]:
    return fraction_split(data.num_nodes, train=0.6, validation=0.2, seed=seed)
