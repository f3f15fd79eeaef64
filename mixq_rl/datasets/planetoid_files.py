"""Planetoid's pickles as arrays, sparse matrices and a dictionary of neighbours."""

import pickle
from pathlib import Path

import numpy as np
from scipy import sparse

from mixq_rl.datasets.inert import Named, Objects, Saved
from mixq_rl.datasets.memory_limit import VALUE_BYTES, check_memory, memory_limit
from mixq_rl.datasets.pickled_arrays import read_pickled_array
from mixq_rl.datasets.plain_pickle import read_pickle
from mixq_rl.datasets.sparse_rows import checked_csr

__all__ = ["MATRICES", "check_together", "read_graph", "read_matrix", "write_plain"]

MATRICES = ("x", "tx", "allx", "y", "ty", "ally")
_FLOAT_BYTES = 4
_COPIES = 3  # of the features, while PyTorch Geometric puts them together and normalises them

_CSR = (Named("scipy.sparse.csr", "csr_matrix"), Named("scipy.sparse._csr", "csr_matrix"))
_DICTIONARY = Named("collections", "defaultdict")


def read_matrix(content: bytes) -> np.ndarray | sparse.csr_matrix:
    """Return the array or the CSR matrix in a pickle of numbers.

    Raises:
        ValueError: if the pickle holds anything else, or a matrix that contradicts itself.
    """
    value, _ = read_pickle(content, _objects(content))
    if isinstance(value, Saved) and value.made_by in _CSR and isinstance(value.state, dict):
        data, indices, indptr = (read_pickled_array(value.state.get(name)) for name in ("data", "indices", "indptr"))
        shape = value.state.get("_shape", value.state.get("shape"))
        if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(size) is int for size in shape):
            raise ValueError("a sparse matrix without two dimensions")
        return checked_csr(data, indices, indptr, shape)
    array = read_pickled_array(value)
    if array.ndim != 2:
        raise ValueError("an array that is no matrix")
    return array


def read_graph(content: bytes) -> dict[int, list[int]]:
    """Return the neighbours of each node in a pickle.

    Raises:
        ValueError: if the pickle holds anything else than a dictionary of integers and lists of integers.
    """
    value, _ = read_pickle(content, _objects(content))
    if isinstance(value, Saved) and value.made_by == _DICTIONARY:
        value = value.items
    if not isinstance(value, dict):
        raise ValueError("a graph that is no dictionary")
    entries = 0
    for node, neighbours in value.items():
        if type(node) is not int or not isinstance(neighbours, list):
            raise ValueError("a graph with other entries than lists of neighbours")
        entries += len(neighbours)  # a pickle may name the same list again and again
        if entries > len(content):
            raise ValueError("a graph with more edges than its file has bytes")
        if not all(type(neighbour) is int for neighbour in neighbours):
            raise ValueError("a graph with other neighbours than integers")
    return value


def check_together(
    matrices: dict[str, np.ndarray | sparse.csr_matrix], graph: dict[int, list[int]], test: np.ndarray, file_bytes: int
) -> None:
    """Check that files of Planetoid fit together, and the memory that their features take.

    Args:
        matrices: features and one-hot classes by name, one for each of ``MATRICES``.
        graph: the neighbours of each node.
        test: test nodes, integers.
        file_bytes: size of all files together.

    Raises:
        ExcessError: if the features take too much memory.
        ValueError: saying what is wrong.
    """
    if not test.size or int(test.min()) < 0:
        raise ValueError("no test nodes, or negative ones")
    span = int(test.max()) - int(test.min()) + 1  # CiteSeer has test nodes without features
    rows = matrices["allx"].shape[0] + max(span, matrices["tx"].shape[0])
    if int(test.max()) >= rows:
        raise ValueError(f"test node {int(test.max())}, but there are {rows} nodes")
    columns = {name: matrices[name].shape[1] for name in MATRICES}
    if any(columns[name] != columns[name.removeprefix("t").removeprefix("all")] for name in MATRICES):
        raise ValueError("matrices of different numbers of columns")
    cells = (rows + matrices["x"].shape[0]) * (columns["x"] + columns["y"])
    check_memory(_COPIES * _FLOAT_BYTES * cells, "features", file_bytes)
    least = min(min(graph, default=0), min((min(ends) for ends in graph.values() if ends), default=0))
    greatest = max(max(graph, default=0), max((max(ends) for ends in graph.values() if ends), default=0))
    if least < 0 or greatest >= rows:
        raise ValueError(f"a graph of the nodes {least}...{greatest}, but there are {rows} nodes")


def write_plain(path: Path, value: np.ndarray | sparse.csr_matrix | dict[int, list[int]]) -> None:
    """Write what was read as a pickle, for PyTorch Geometric."""
    with path.open("wb") as file:
        pickle.dump(value, file, protocol=4)


def _objects(content: bytes) -> Objects:
    return Objects(memory_limit(len(content)) // VALUE_BYTES)
