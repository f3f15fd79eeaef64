"""Synthetic citation graph of Cora's size, generated offline and deterministically."""

import numpy as np
import torch

from mixq_rl.datasets.splits import planetoid_split
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_citation"]

_NODES = 2_708
_CLASSES = 7
_WORDS = 1_433
_EDGES = 5_300
_WORDS_PER_NODE = 18
_HOMOPHILY = 0.68
_TOPIC_SHARE = 0.17
_DEGREE_EXPONENT = 2.9


def load_citation(seed: int = 0) -> GraphTask:
    """Return a contextual stochastic block model with sparse binary bag-of-words features.

    The graph has seven classes of unequal sizes. Its 5,300 edges join nodes drawn in proportion to a power-law
    activity. With probability 0.68 the second node is drawn from the class of the first, otherwise from all nodes; 72 %
    of all edges stay within a class (81 % in Cora). Each node has about 16 distinct words: a share of 0.17 of the draws
    comes from the Zipf-distributed vocabulary of its class, the others from a vocabulary that all classes share.
    Features are row-normalised. The split has 20 training nodes of each class, 500 validation and 1,000 test nodes.

    Args:
        seed: seed of all random numbers.
    """
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(_CLASSES, 12.0))
    y = rng.choice(_CLASSES, size=_NODES, p=prior)
    edges = _edges(rng, y)
    words = _words(rng, y)
    x = torch.from_numpy(words / np.maximum(words.sum(axis=1, keepdims=True), 1)).float()
    labels = torch.from_numpy(y).long()
    edge_index = torch.from_numpy(np.concatenate([edges, edges[::-1]], axis=1)).long()
    masks = planetoid_split(labels, train_per_class=20, validation=500, test=1_000, seed=seed)
    return GraphTask("citation", x, edge_index, labels, masks)


def _edges(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    activity = rng.pareto(_DEGREE_EXPONENT - 1, size=_NODES) + 1
    members = [np.flatnonzero(y == label) for label in range(_CLASSES)]
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < _EDGES:
        count = _EDGES - len(pairs)
        first = rng.choice(_NODES, size=count, p=activity / activity.sum())
        second = rng.choice(_NODES, size=count, p=activity / activity.sum())
        for label, group in enumerate(members):
            same = (rng.random(count) < _HOMOPHILY) & (y[first] == label)
            second[same] = rng.choice(group, size=int(same.sum()), p=activity[group] / activity[group].sum())
        pairs.update((min(a, b), max(a, b)) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a != b)
    return np.array(sorted(pairs)).T


def _words(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    frequency = 1.0 / np.arange(1, _WORDS + 1)
    shared = frequency / frequency.sum()
    topics = [rng.permutation(shared) for _ in range(_CLASSES)]
    words = np.zeros((_NODES, _WORDS), dtype=np.float32)
    for node, label in enumerate(y):
        count = max(1, rng.poisson(_WORDS_PER_NODE))
        mixture = _TOPIC_SHARE * topics[label] + (1 - _TOPIC_SHARE) * shared
        words[node, rng.choice(_WORDS, size=count, p=mixture)] = 1.0
    return words
