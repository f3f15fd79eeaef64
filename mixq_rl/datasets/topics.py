"""Synthetic graph of documents with several topics each, generated offline and deterministically."""

import numpy as np
import torch

from mixq_rl.datasets.splits import fraction_split
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_topics"]

_NODES = 2_000
_TOPICS = 10
_WORDS = 100
_EDGES = 6_000
_WORDS_PER_NODE = 16
_RAREST, _MOST_FREQUENT = 0.06, 0.3
_HOMOPHILY = 0.75
_TOPIC_SHARE = 0.5
_UNKNOWN = 0.1


def load_topics(seed: int = 0) -> GraphTask:
    """Return a multi-label task: 2,000 documents, each with one or several of ten topics.

    A document has each topic with a probability between 0.06 and 0.3, and at least one. Its words are drawn from the
    vocabularies of its topics, a share of one half, and from a vocabulary that all share. With probability 0.75 the
    second node of an edge is drawn from the nodes that have one of the first node's topics, otherwise from all nodes.
    Features are row-normalised. A tenth of the labels is unknown (NaN). The split is 50/25/25, and the metric is the
    ROC-AUC.

    Args:
        seed: seed of all random numbers.
    """
    rng = np.random.default_rng(seed)
    share = np.geomspace(_RAREST, _MOST_FREQUENT, _TOPICS)
    y = rng.random((_NODES, _TOPICS)) < share
    without = np.flatnonzero(~y.any(axis=1))
    y[without, rng.choice(_TOPICS, size=without.size, p=share / share.sum())] = True
    edges = _edges(rng, y)
    words = _words(rng, y)
    labels = np.where(rng.random(y.shape) < _UNKNOWN, np.nan, y)
    return GraphTask(
        "topics",
        torch.from_numpy(words / words.sum(axis=1, keepdims=True)).float(),
        torch.from_numpy(np.concatenate([edges, edges[::-1]], axis=1)).long(),
        torch.from_numpy(labels).float(),
        fraction_split(_NODES, train=0.5, validation=0.25, seed=seed),
    )


def _edges(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    members = [np.flatnonzero(column) for column in y.T]
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < _EDGES:
        first = int(rng.integers(_NODES))
        group = members[rng.choice(np.flatnonzero(y[first]))]
        second = int(rng.choice(group) if rng.random() < _HOMOPHILY else rng.integers(_NODES))
        if first != second:
            pairs.add((min(first, second), max(first, second)))
    return np.array(sorted(pairs)).T


def _words(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    frequency = 1.0 / np.arange(1, _WORDS + 1)
    shared = frequency / frequency.sum()
    vocabularies = np.stack([rng.permutation(shared) for _ in range(_TOPICS)])
    words = np.zeros((_NODES, _WORDS))
    for node, topics in enumerate(y):
        count = max(1, rng.poisson(_WORDS_PER_NODE))
        mixture = _TOPIC_SHARE * vocabularies[topics].mean(axis=0) + (1 - _TOPIC_SHARE) * shared
        words[node, rng.choice(_WORDS, size=count, p=mixture)] = 1.0
    return words
