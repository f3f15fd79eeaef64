"""Power-law graphs of any size by recursive matrices (R-MAT), generated offline and deterministically.

Source: Chakrabarti, Zhan and Faloutsos, "R-MAT: A Recursive Model for Graph Mining", 2004.
"""

from collections.abc import Iterator

import numpy as np
import torch

from mixq_rl.datasets.splits import fraction_split
from mixq_rl.datasets.task import GraphTask
from mixq_rl.errors import UnknownNameError

__all__ = ["load_rmat", "rmat_scale"]

_LEAST, _GREATEST = 8, 24
_A, _B, _C, _D = 0.57, 0.19, 0.19, 0.05
_EDGE_FACTOR = 26
_CLASS_BITS = 4
_HOMOPHILY = 0.4
_COLUMNS = 64
_NOISE = 4.0
_CHUNK = 2**18
_SPLIT_SEED = 2**32  # with the graph's own seed the split would depend on the degrees
_UNITS = 2**16  # of a probability: random numbers have 16 bits


def rmat_scale(name: str) -> int:
    """Return the scale in a name: 12 for ``"rmat-12"``.

    Raises:
        UnknownNameError: if it is no whole number within 8...24.
    """
    _, _, text = name.partition("-")
    scale = int(text) if text.isascii() and text.isdecimal() and len(text) <= 2 else 0
    if not _LEAST <= scale <= _GREATEST:
        raise UnknownNameError(
            f"{name!r} names no graph: write rmat-{_LEAST} to rmat-{_GREATEST}, such as rmat-16 for 2^16 nodes"
        )
    return scale


def load_rmat(scale: int, seed: int = 0) -> GraphTask:
    """Return a power-law graph of ``2**scale`` nodes in 16 classes.

    26 edges a node are drawn. One of them starts at the node, so that hardly any node is isolated. Both ends of the
    others, and the second end of this one, are drawn by R-MAT: at each level of the recursion an edge falls into one of
    four quadrants with the probabilities 0.57, 0.19, 0.19 and 0.05. Duplicates and self-loops are removed, and all
    edges are there in both directions.

    The 16 nodes that only the last four levels tell apart have the 16 classes, in an order of their own. With
    probability 0.4 the second end of an edge is moved to the one of its 16 nodes that has the class of the first end.
    So neighbours agree more often than by chance, while the classes are of one size, and a degree says nothing of the
    class. A node has the 64 features of its class, standard normal numbers, with noise of standard deviation 4. Nodes
    are numbered at random. The split is 60/20/20.

    Args:
        scale: logarithm of the number of nodes to the base of 2, within 8...24.
        seed: seed of all random numbers.
    """
    rng = np.random.default_rng(seed)
    order = rng.integers(2**_CLASS_BITS, size=2**scale >> _CLASS_BITS, dtype=np.int32)
    number = rng.permutation(2**scale).astype(np.int32)
    edge_index = _edge_index(rng, scale, order, number)
    y = np.empty(2**scale, dtype=np.int64)
    y[number] = _class_of(np.arange(2**scale, dtype=np.int32), order)
    return GraphTask(
        f"rmat-{scale}",
        torch.from_numpy(_features(rng, y)),
        torch.from_numpy(edge_index),
        torch.from_numpy(y),
        fraction_split(2**scale, train=0.6, validation=0.2, seed=_SPLIT_SEED + seed),
    )


def _class_of(node: np.ndarray, order: np.ndarray) -> np.ndarray:
    return (node & 2**_CLASS_BITS - 1) ^ order[node >> _CLASS_BITS]


def _edge_index(rng: np.random.Generator, scale: int, order: np.ndarray, number: np.ndarray) -> np.ndarray:
    # An edge is one integer, the lesser end before the greater, so that sorting brings duplicates together.
    edges = np.empty(_EDGE_FACTOR << scale, dtype=np.int64)
    for place, first in _first_ends(rng, scale):
        second = _second_ends(rng, scale, first)
        is_planted = rng.random(len(first), dtype=np.float32) < _HOMOPHILY
        planted = second & -(2**_CLASS_BITS) | _class_of(first, order) ^ order[second >> _CLASS_BITS]
        ends = number[first], number[np.where(is_planted, planted, second)]
        edges[place] = np.minimum(*ends).astype(np.int64) << scale | np.maximum(*ends)
    edges.sort()
    is_new = edges[1:] != edges[:-1]
    edges = edges[np.concatenate([[True], is_new])]
    edges = edges[edges >> scale != edges & 2**scale - 1]
    edge_index = np.empty((2, 2 * len(edges)), dtype=np.int64)
    lesser, greater = edge_index[:, : len(edges)]
    np.right_shift(edges, scale, out=lesser)
    np.bitwise_and(edges, 2**scale - 1, out=greater)
    edge_index[::-1, len(edges) :] = lesser, greater
    return edge_index


def _first_ends(rng: np.random.Generator, scale: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield places among the drawn edges and their first ends: each node once, then by R-MAT."""
    every = np.arange(2**scale, dtype=np.int32)
    for start in range(0, _EDGE_FACTOR << scale, _CHUNK):
        stop = min(start + _CHUNK, _EDGE_FACTOR << scale)
        given = every[start:stop]
        drawn = np.zeros(stop - start - len(given), dtype=np.int32)
        for level in range(scale):
            is_low = _drawn_units(rng, len(drawn)) < round((_C + _D) * _UNITS)
            drawn |= is_low.astype(np.int32) << level
        yield slice(start, stop), np.concatenate([given, drawn])


def _second_ends(rng: np.random.Generator, scale: int, first: np.ndarray) -> np.ndarray:
    """Return second ends by R-MAT, given the first ends."""
    share = [_B / (_A + _B), _D / (_C + _D)]
    below = np.array([round(value * _UNITS) for value in share], dtype=np.uint16)
    second = np.zeros_like(first)
    for level in range(scale):
        is_low = _drawn_units(rng, len(first)) < below[first >> level & 1]
        second |= is_low.astype(np.int32) << level
    return second


def _drawn_units(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(_UNITS, size=count, dtype=np.uint16)


def _features(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    of_class = rng.standard_normal((2**_CLASS_BITS, _COLUMNS), dtype=np.float32)
    x = rng.standard_normal((len(y), _COLUMNS), dtype=np.float32)
    x *= _NOISE
    x += of_class[y]
    return x
