"""Images as graphs of superpixels (Dwivedi et al., "Benchmarking Graph Neural Networks", 2020)."""

from pathlib import Path

import torch
from torch_geometric.datasets import GNNBenchmarkDataset

from mixq_rl.datasets.pyg import side_by_side, untouched
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask, Split

__all__ = ["load_superpixels"]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def load_superpixels(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/gnnbenchmark/<name>/raw``, with the split of the dataset.

    Features are a superpixel's intensity or colour, and the two coordinates of its centre. The distances of the edges
    in the files are not read.

    Args:
        name: ``"MNIST"`` or ``"CIFAR10"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if the raw files do not exist and cannot be downloaded.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    with untouched(name, root, f"gnnbenchmark/{name}/raw") as open_dataset:
        dataset = open_dataset(GNNBenchmarkDataset, root=str(root / "gnnbenchmark"), name=name)
        parts = []
        for path in dataset.processed_paths:  # train, validation, test: processed together, loaded one by one
            dataset.load(path)
            parts.append(list(dataset))
        graphs = side_by_side([graph for part in parts for graph in part])
    part_of = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    masks = {split: part_of == number for number, split in enumerate(_SPLITS)}
    assert graphs.x is not None
    return GraphTask(name, graphs.x, graphs.edge_index, graphs.y.long(), masks, batch=graphs.batch)
