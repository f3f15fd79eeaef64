"""Circular skip-link graphs (Murphy et al., 2019), generated offline and deterministically."""

import numpy as np
import torch

from mixq_rl.datasets.splits import check_fold, fold_split
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_csl"]

_NODES = 41
_SKIPS = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)
_COPIES = 15
_FOLDS = 5
_DIMENSIONS = 50


def load_csl(fold: int | None = None, seed: int = 0) -> GraphTask:
    """Return 150 graphs of 41 nodes in 10 classes, with positional encodings as features.

    A graph of skip R is a cycle whose node i is also joined to i ± R, with nodes numbered at random. There are 15
    graphs for each skip in {2, 3, 4, 5, 6, 9, 11, 12, 13, 16}. All nodes have four neighbours, so that message passing
    can distinguish the classes only by features. The features are the 40 eigenvectors of the normalised Laplacian with
    eigenvalues above zero, ascending (Dwivedi et al., "Benchmarking Graph Neural Networks", 2020), and ten columns of
    zeros. Eigenvalues repeat, so a random orthonormal basis of each eigenspace, including signs, is drawn for each
    graph. Training draws new signs in every batch, as Dwivedi et al. do; without this, networks memorise the 90
    training graphs.

    Splits are stratified: one fifth of the graphs for the test, one for validation.

    Args:
        fold: number of the fifth that is the test split, 0...4; None: 0.
        seed: seed of the numbering and of the bases.

    Raises:
        InputError: for a fold outside 0...4.
    """
    chosen = check_fold("CSL", fold, _FOLDS)
    rng = np.random.default_rng(seed)
    encodings: list[np.ndarray] = []
    edges: list[np.ndarray] = []
    for skip in _SKIPS:
        for _ in range(_COPIES):
            number = rng.permutation(_NODES)
            edges.append(number[_skip_links(skip)] + len(edges) * _NODES)
            encoding = np.zeros((_NODES, _DIMENSIONS))
            encoding[number, : _NODES - 1] = _laplacian_eigenvectors(skip, rng)
            encodings.append(encoding)
    y = torch.arange(len(_SKIPS)).repeat_interleave(_COPIES)
    return GraphTask(
        "CSL",
        torch.from_numpy(np.concatenate(encodings)).float(),
        torch.from_numpy(np.concatenate(edges, axis=1)),
        y,
        fold_split(y, folds=_FOLDS, fold=chosen),
        batch=torch.arange(y.numel()).repeat_interleave(_NODES),
        arbitrary_sign=torch.arange(_DIMENSIONS) < _NODES - 1,
    )


def _skip_links(skip: int) -> np.ndarray:
    node = np.arange(_NODES)
    source = np.concatenate([node, node])
    target = np.concatenate([node + 1, node + skip]) % _NODES
    return np.stack([np.concatenate([source, target]), np.concatenate([target, source])])


def _laplacian_eigenvectors(skip: int, rng: np.random.Generator) -> np.ndarray:
    # In closed form, because a numerical solver would choose different bases on different machines. The eigenvectors
    # of a circulant matrix are waves.
    wave = np.arange(1, _NODES // 2 + 1)
    eigenvalue = np.round(1 - (np.cos(2 * np.pi * wave / _NODES) + np.cos(2 * np.pi * skip * wave / _NODES)) / 2, 9)
    angle = 2 * np.pi * np.outer(np.arange(_NODES), wave) / _NODES
    cosine, sine = np.cos(angle) * np.sqrt(2 / _NODES), np.sin(angle) * np.sqrt(2 / _NODES)
    bases = []
    for value in np.unique(eigenvalue):
        space = eigenvalue == value
        basis = np.concatenate([cosine[:, space], sine[:, space]], axis=1)
        bases.append(basis @ _random_rotation(basis.shape[1], rng))
    return np.concatenate(bases, axis=1)


def _random_rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return q * np.sign(np.diag(r))  # unique, and uniform over the orthogonal matrices (Mezzadri, 2007)
