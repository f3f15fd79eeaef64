"""Small files in the layout of the Open Graph Benchmark's archives, which the package ogb reads."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NODES", "write_ogbn"]

NODES = 12
_SPLITS = {"ogbn-arxiv": "time", "ogbn-products": "sales_ranking", "ogbn-proteins": "species"}
_PROTEINS_LABELS = 112


def write_ogbn(root: Path, name: str) -> Path:
    """Write a path of 12 nodes, with 2 features or of 8 features an edge, and return the folder of its raw files."""
    folder = root / "ogb" / name.replace("-", "_")
    raw, split = folder / "raw", folder / "split" / _SPLITS[name]
    for new in (raw, split):
        new.mkdir(parents=True)
    (folder / "RELEASE_v1.txt").touch()
    node = np.arange(NODES)
    _save(raw, "edge", np.stack([node[:-1], node[1:]], axis=1))
    _save(raw, "num-node-list", [NODES])
    _save(raw, "num-edge-list", [NODES - 1])
    if name == "ogbn-proteins":
        _save(raw, "edge-feat", np.arange(8 * (NODES - 1)).reshape(-1, 8) / 10)
        _save(raw, "node-label", np.arange(NODES * _PROTEINS_LABELS).reshape(NODES, -1) % 5 == 0)
        _save(raw, "node_species", node)
    else:
        _save(raw, "node-feat", np.arange(2 * NODES).reshape(NODES, 2) / 10)
        _save(raw, "node-label", node % 3)
    if name == "ogbn-arxiv":
        _save(raw, "node_year", node + 2000)
    for part, chosen in (("train", node[::2]), ("valid", node[1::4]), ("test", node[3::4])):
        _save(split, part, chosen)
    return raw


def _save(folder: Path, name: str, rows: Any) -> None:
    table = np.asarray(rows)
    with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
        np.savetxt(file, table, delimiter=",", fmt="%.3f" if table.dtype.kind == "f" else "%d")
