"""Node classification datasets of the Open Graph Benchmark (Hu et al., 2020), through the package ``ogb``."""

from importlib import import_module
from pathlib import Path

import torch
from torch.serialization import safe_globals
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.utils import to_undirected

from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import ArtifactError, DataNotFoundError
from mixq_rl.storage.reading import open_regular

__all__ = ["load_ogbn"]

_SPLITS: dict[str, Split] = {"train": "train", "valid": "validation", "test": "test"}


def load_ogbn(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/ogb/<name with underscores>``, with the split of the dataset. Edges are made undirected.

    Args:
        name: ``"ogbn-arxiv"`` or ``"ogbn-products"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if ``ogb`` cannot be imported, or the files are damaged, or do not exist and cannot be
            downloaded.
        InvalidGraphError: if the files would take too much memory, or contradict each other.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    try:
        dataset_class = import_module("ogb.nodeproppred").PygNodePropPredDataset
    except ImportError as error:
        raise DataNotFoundError(
            f"{name} is read by the package ogb, which cannot be imported ({error}): pip install ogb"
        ) from error
    # ogb saves and loads whole Data objects, which torch.load refuses unless their classes are named as safe.
    parts = safe_globals([DataEdgeAttr, DataTensorAttr, GlobalStorage])
    folder = f"ogb/{name.replace('-', '_')}"
    with parts, untouched(name, root, f"{folder}/raw", optional=("*.csv.gz",)) as open_dataset:
        dataset = open_dataset(dataset_class, root=str(root / "ogb"), name=name)
        _refuse_pickles(root / folder / "split")
        data, index = dataset[0], dataset.get_idx_split()
        masks: dict[Split, torch.Tensor] = {}
        for theirs, split in _SPLITS.items():
            masks[split] = torch.zeros(data.num_nodes, dtype=torch.bool)
            masks[split][index[theirs]] = True
        edge_index = to_undirected(data.edge_index.long(), num_nodes=data.num_nodes)
        return GraphTask(name, data.x.float(), edge_index, data.y.reshape(-1).long(), masks)


def _refuse_pickles(folder: Path) -> None:
    for path in sorted(folder.rglob("*.pt")):
        raise DataNotFoundError(f"{path} is a pickle, which is not read: the split is in the files .csv.gz beside it")
    for path in sorted(folder.rglob("*.csv.gz")):
        try:
            open_regular(path, follow=True).close()
        except ArtifactError as error:
            raise DataNotFoundError(str(error)) from error
