"""Images as graphs of superpixels (Dwivedi et al., "Benchmarking Graph Neural Networks", 2020)."""

from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import GNNBenchmarkDataset

from mixq_rl.datasets.pyg import side_by_side, untouched
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.datasets.tensor_files import TensorFile

__all__ = ["load_superpixels"]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_ITEMSIZES = {"x": 4, "pos": 4, "edge_index": 8, "y": 8}


class _Superpixels(GNNBenchmarkDataset):
    """The dataset, whose raw file is read without unpickling."""

    def process(self) -> None:
        with Path(self.raw_paths[0]).open("rb") as file:
            parts = _read_parts(TensorFile(file))
        for part, path in zip(parts, self.processed_paths, strict=True):
            self.save([Data(**graph) for graph in part], path)


def load_superpixels(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/gnnbenchmark/<name>/raw``, with the split of the dataset.

    Features are a superpixel's intensity or colour, and the two coordinates of its centre. The distances of the edges
    in the files are not read.

    Args:
        name: ``"MNIST"`` or ``"CIFAR10"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
        InvalidGraphError: if the raw files would take too much memory, or contradict each other.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    with untouched(name, root, f"gnnbenchmark/{name}/raw") as open_dataset:
        dataset = open_dataset(_Superpixels, root=str(root / "gnnbenchmark"), name=name)
        parts = []
        for path in dataset.processed_paths:  # train, validation, test: processed together, loaded one by one
            dataset.load(path)
            parts.append(list(dataset))
        graphs = side_by_side([graph for part in parts for graph in part])
        part_of = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
        masks = {split: part_of == number for number, split in enumerate(_SPLITS)}
        assert graphs.x is not None
        return GraphTask(name, graphs.x, graphs.edge_index, graphs.y.long(), masks, batch=graphs.batch)


def _read_parts(file: TensorFile) -> list[list[dict[str, Tensor]]]:
    """Return the graphs of each split as dictionaries of tensors."""
    parts = file.value
    if not isinstance(parts, list | tuple) or len(parts) != len(_SPLITS):
        raise ValueError("it does not hold the graphs of three splits")
    inert = {}
    for number, part in enumerate(parts):
        for place, graph in enumerate(part if isinstance(part, list | tuple) else ()):
            if not isinstance(graph, dict) or not graph.keys() >= _ITEMSIZES.keys():
                raise ValueError(f"a graph that is no dictionary of {', '.join(_ITEMSIZES)}")
            inert.update({(number, place, name): graph[name] for name in _ITEMSIZES})
    file.check_memory(((found, _ITEMSIZES[key[2]]) for key, found in inert.items()))
    read: list[list[dict[str, Tensor]]] = [[] for _ in parts]
    for (number, _, name), found in inert.items():
        tensor = file.tensor(found)
        if tensor is None:
            raise ValueError(f"a graph whose {name} is no dense, real tensor")
        if name == "x":
            read[number].append({})
        read[number][-1][name] = tensor
    return read
