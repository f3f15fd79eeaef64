"""Protein-protein interactions in 24 human tissues (Zitnik and Leskovec, 2017)."""

from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import PPI
from torch_geometric.utils import remove_self_loops, to_undirected

from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import InvalidGraphError

__all__ = ["load_ppi"]

_SPLITS: dict[Split, str] = {"train": "train", "validation": "valid", "test": "test"}
_MEMORY = 2**30


class _Link(msgspec.Struct, gc=False):
    source: int
    target: int


class _Links(msgspec.Struct):
    links: list[_Link]


class _PPI(PPI):
    """The dataset, with the graphs of a split side by side."""

    def process(self) -> None:
        for split, path in zip(_SPLITS.values(), self.processed_paths, strict=True):
            raw = Path(self.raw_dir)
            x, y, tissue = (np.load(raw / f"{split}_{part}.npy") for part in ("feats", "labels", "graph_id"))
            found = msgspec.json.decode((raw / f"{split}_graph.json").read_bytes(), type=_Links).links
            edges = torch.tensor([[link.source for link in found], [link.target for link in found]])
            edge_index, _ = remove_self_loops(to_undirected(edges, num_nodes=len(x)))
            tensors = {"x": torch.from_numpy(x).float(), "y": torch.from_numpy(y).float(), "edge_index": edge_index}
            self.save([Data(**tensors, tissue=torch.from_numpy(tissue).long())], path)


def load_ppi(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/ppi/raw``: proteins of 24 tissues with 121 labels each, measured by micro F1.

    The tissues are 24 graphs: 20 for training, two for validation and two for the test, as published. They are one task
    whose nodes are classified, without edges between tissues, so that no message passes from one split to another.

    Args:
        name: ``"PPI"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
        InvalidGraphError: if the files would take too much memory, or an edge joins two tissues.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    with untouched(name, root, "ppi/raw", expected=_MEMORY) as open_dataset:
        dataset = open_dataset(_PPI, root=str(root / "ppi"))
        parts = []
        for path in dataset.processed_paths:
            dataset.load(path)
            parts.append(dataset[0])
        first = torch.tensor([0, *(len(part.x) for part in parts)]).cumsum(0).tolist()
        edges = [
            _within_tissues(name, part.edge_index, part.tissue) + start
            for part, start in zip(parts, first[:-1], strict=True)
        ]
        split_of = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part.x) for part in parts]))
        return GraphTask(
            name,
            torch.cat([part.x for part in parts]),
            torch.cat(edges, dim=1),
            torch.cat([part.y for part in parts]),
            {split: split_of == number for number, split in enumerate(_SPLITS)},
            metric="micro-f1",
        )


def _within_tissues(name: str, edge_index: Tensor, tissue: Tensor) -> Tensor:
    ends = tissue[edge_index]
    if not torch.equal(ends[0], ends[1]):
        raise InvalidGraphError(f"an edge of {name} joins two graphs")
    return edge_index
