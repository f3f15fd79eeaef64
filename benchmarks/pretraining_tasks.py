"""Tasks that the policy of the package learns on: generated graphs of many kinds, and a few real ones.

A generated graph is written to a file of the form that ``mixq_rl.load_task`` reads. Everything follows from the number
of the graph.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixq_rl.agents import EvaluatorConfig

__all__ = ["GraphRecipe", "pretraining_tasks", "write_graphs", "write_nodes"]

OFFERS = ((2, 4, 8), (1, 2, 4, 8), (1, 2, 3, 4, 6, 8), (4, 8), (1, 2, 4), (2, 3, 4, 6))
_OFTEN = (0.25, 0.3, 0.2, 0.05, 0.1, 0.1)
_LAYERS = ("gcn", "gcn", "sage", "gin", "gat", "tag")
# Left out are networks that learn nothing in float32, and those that take long to prepare.
NODE_TASKS = (0, 2, 3, *range(5, 9), *range(10, 15), *range(17, 22), 25, 26, 27, 30, 31)
NODE_TASKS += (42, 46, 50, 54, 61, 62, 63, 66, 73, 81, 84)
NODE_TASKS += (85, 88, 90, 94, 97, 98, 99, 100, 102, 104, 105, 106, 118, 119, 122, 123, 124, 125, 126, 129)
NODE_TASKS += (134, 135, 137, 141, 146, 147, 150, 152, 153)
GRAPH_TASKS = (0, 1, 2, 4, 5, 8, 9, 12, 13, 16, 17)
LARGE_TASKS = (0, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class GraphRecipe:
    """What a generated graph with labelled nodes is like.

    Attributes:
        nodes, classes: their numbers.
        degree: mean number of neighbours.
        exponent: of the power law of the degrees; 0: nodes are alike, as in a stochastic block model.
        affinity: share of edges drawn within a class, from 0 to 1; below 0: drawn to the next class instead.
        balance: concentration of the Dirichlet distribution of class sizes.
        features: ``"words"``: a sparse binary bag of words, ``"dense"``: numbers of either sign with mean zero, whose
            columns are ever smaller, as after a singular value decomposition, or ``"columns"``: a few numbers.
        columns: number of features.
        signal: how far the features depend on the class.
        few_labels: whether 20 nodes of each class are for training, instead of 60 % of all nodes.
    """

    nodes: int
    classes: int
    degree: float
    exponent: float
    affinity: float
    balance: float
    features: str
    columns: int
    signal: float
    few_labels: bool

    @classmethod
    def draw(cls, random: np.random.Generator) -> "GraphRecipe":
        """Return a recipe at random."""
        features = str(random.choice(["words", "dense", "dense", "columns"]))
        columns = {"words": (150, 700), "dense": (24, 129), "columns": (4, 17)}[features]
        signals = {"words": (0.1, 0.35), "dense": (0.15, 0.6), "columns": (0.3, 1.0)}[features]
        return cls(
            nodes=int(2 ** random.uniform(9, 11)),
            classes=int(random.choice([2, 2, 3, 4, 6, 8, 10])),
            degree=float(2 ** random.uniform(1.2, 5)),
            exponent=float(random.choice([0.0, 2.3, 2.6, 3.0])),
            affinity=float(random.choice([-0.5, 0.05, 0.2, 0.4, 0.6, 0.8])),
            balance=float(random.choice([2.0, 5.0, 20.0])),
            features=features,
            columns=int(random.integers(*columns)),
            signal=float(random.uniform(*signals)),
            few_labels=bool(features == "words" and random.random() < 0.6),
        )


def pretraining_tasks(folder: Path, data_root: str) -> list[EvaluatorConfig]:
    """Write the generated graphs below ``folder``, and return the configurations of all tasks.

    None is on CiteSeer, PT, Facebook, PROTEINS, MUTAG or CSL. On Cora there are only two-layer GCNs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [_node_task(folder, number) for number in NODE_TASKS] + [_graph_task(folder, n) for n in GRAPH_TASKS]
    chosen += [_large_task(folder, number) for number in LARGE_TASKS]
    real = [
        EvaluatorConfig(dataset="citation"),
        EvaluatorConfig(dataset="Cora", bits=(1, 2, 4, 8)),
        EvaluatorConfig(dataset="Cora", hidden_channels=16, seed=1),
        EvaluatorConfig(dataset="EN", bits=(1, 2, 4, 8)),
        EvaluatorConfig(dataset="EN", hidden_channels=32, seed=1),
        EvaluatorConfig(dataset="EN", model="sage", bits=(1, 2, 4, 8)),
        EvaluatorConfig(dataset="EN", model="gin", hidden_channels=32),
        *(EvaluatorConfig(dataset="citation", model=model, bits=(1, 2, 4, 8)) for model in ("sage", "gin", "gat")),
    ]
    return [*chosen, *(replace(config, data_root=data_root) for config in real)]


def _node_task(folder: Path, number: int) -> EvaluatorConfig:
    random = np.random.default_rng([number, 1])
    path = write_nodes(folder / f"nodes-{number}.npz", GraphRecipe.draw(random), random)
    depth = int(random.choice([2, 2, 2, 3, 4, 5]))
    return _network(path, _LAYERS[number % len(_LAYERS)], depth, random)


def _large_task(folder: Path, number: int) -> EvaluatorConfig:
    """Return a task whose graph has thousands of nodes with dense features, and hubs, as graphs of web pages have."""
    random = np.random.default_rng([number, 3])
    recipe = GraphRecipe(
        nodes=int(2 ** random.uniform(12, 13)),
        classes=int(random.choice([2, 4, 6])),
        degree=float(2 ** random.uniform(3, 5)),
        exponent=float(random.choice([2.3, 2.6])),
        affinity=float(random.choice([0.2, 0.5, 0.7])),
        balance=5.0,
        features="dense",
        columns=int(random.integers(64, 129)),
        signal=float(random.uniform(0.15, 0.5)),
        few_labels=False,
    )
    path = write_nodes(folder / f"large-{number}.npz", recipe, random)
    model, bits = (("gcn", "gcn", "sage", "gin")[number % 4], ((1, 2, 4, 8), (2, 4, 8))[number // 2 % 2])
    return EvaluatorConfig(dataset=str(path), model=model, num_layers=2 + number // 4 % 2, bits=bits)


def _graph_task(folder: Path, number: int) -> EvaluatorConfig:
    random = np.random.default_rng([number, 2])
    path = write_graphs(folder / f"graphs-{number}.npz", random)
    return _network(path, ("gin", "gin", "sage", "gcn")[number % 4], int(random.integers(2, 6)), random)


def _network(path: Path, model: str, depth: int, random: np.random.Generator) -> EvaluatorConfig:
    return EvaluatorConfig(
        dataset=str(path),
        model=model,
        num_layers=depth,
        hidden_channels=int(random.choice([16, 32, 64])),
        bits=OFFERS[random.choice(len(OFFERS), p=_OFTEN)],
    )


def write_nodes(path: Path, recipe: GraphRecipe, random: np.random.Generator) -> Path:
    """Write a graph whose nodes are classified, and return its path."""
    y = random.choice(recipe.classes, size=recipe.nodes, p=random.dirichlet(np.full(recipe.classes, recipe.balance)))
    y[: 3 * recipe.classes] = np.tile(np.arange(recipe.classes), 3)  # no class is missing
    arrays = {"x": _features(recipe, y, random), "edge_index": _edges(recipe, y, random), "y": y}
    if recipe.few_labels:
        arrays |= _few_labels(y, random)
    np.savez_compressed(path, **arrays)
    return path


def _features(recipe: GraphRecipe, y: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float32]:
    if recipe.features == "words":
        frequency = 1.0 / np.arange(1, recipe.columns + 1)
        shared = frequency / frequency.sum()
        topics = np.array([random.permutation(shared) for _ in range(recipe.classes)])
        chances = (1 - recipe.signal) * shared + recipe.signal * topics
        counts = np.maximum(random.poisson(random.uniform(6, 25), size=len(y)), 1)
        words = random.random((len(y), recipe.columns)) < 1 - np.exp(-counts[:, None] * chances[y])
        values = words.astype(np.float32)
        return values / np.maximum(values.sum(axis=1, keepdims=True), 1) if random.random() < 0.5 else values
    centres = random.normal(size=(recipe.classes, recipe.columns))
    noise = random.standard_t(random.choice([4, 30]), size=(len(y), recipe.columns))
    values = recipe.signal * centres[y] + noise
    if recipe.features == "dense":
        values *= np.arange(1, recipe.columns + 1) ** -random.uniform(0.0, 0.7)
    return (values * 2 ** random.uniform(-2, 1)).astype(np.float32)


def _edges(recipe: GraphRecipe, y: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    count = int(recipe.nodes * recipe.degree / 2)
    activity = random.pareto(recipe.exponent - 1, size=recipe.nodes) + 1 if recipe.exponent else np.ones(recipe.nodes)
    first = random.choice(recipe.nodes, size=count, p=activity / activity.sum())
    second = random.choice(recipe.nodes, size=count, p=activity / activity.sum())
    wanted = y[first] if recipe.affinity >= 0 else (y[first] + 1) % recipe.classes
    chosen = random.random(count) < abs(recipe.affinity)
    for label in range(recipe.classes):
        own, group = chosen & (wanted == label), np.flatnonzero(y == label)
        second[own] = random.choice(group, size=int(own.sum()), p=activity[group] / activity[group].sum())
    pairs = np.unique(np.sort(np.stack([first, second]), axis=0)[:, first != second], axis=1)
    return np.concatenate([pairs, pairs[::-1]], axis=1)


def _few_labels(y: NDArray[np.int64], random: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    order = random.permutation(len(y))
    train = np.concatenate([order[y[order] == label][:20] for label in range(int(y.max()) + 1)])
    others = np.setdiff1d(order, train)
    others = random.permutation(others)
    parts = {"train_mask": train, "val_mask": others[: len(y) // 4], "test_mask": others[len(y) // 4 : len(y) // 2]}
    return {name: np.isin(np.arange(len(y)), nodes) for name, nodes in parts.items()}


def write_graphs(path: Path, random: np.random.Generator) -> Path:
    """Write many small graphs, which are classified by density, communities and kinds of nodes, and return the path."""
    classes, count = int(random.choice([2, 2, 4])), int(random.integers(150, 300))
    kinds, wrong = int(random.integers(3, 9)), float(random.choice([0.0, 0.1, 0.25]))
    shares = random.dirichlet(np.full(kinds, 3.0), size=classes)
    degrees = random.uniform(1.5, 5, size=classes)
    y, features, edges, sizes = random.integers(classes, size=count), [], [], []
    for label in y:
        nodes = int(random.integers(10, 30))
        chance = np.full((nodes, nodes), degrees[label] / nodes)
        if label % 2:  # two communities
            side = np.arange(nodes) % 2
            chance *= np.where(side[:, None] == side, 1.7, 0.3)
        pairs = np.argwhere(np.triu(random.random((nodes, nodes)) < chance, 1)).T
        edges.append(np.concatenate([pairs, pairs[::-1]], axis=1) + sum(sizes))
        features.append(np.eye(kinds, dtype=np.float32)[random.choice(kinds, size=nodes, p=shares[label])])
        sizes.append(nodes)
    noisy = np.where(random.random(count) < wrong, random.integers(classes, size=count), y)
    batch = np.repeat(np.arange(count), sizes)
    np.savez_compressed(
        path, x=np.concatenate(features), edge_index=np.concatenate(edges, axis=1), y=noisy, batch=batch
    )
    return path
