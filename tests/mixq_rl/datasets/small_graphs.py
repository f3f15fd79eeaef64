"""Graph tasks small enough to be checked one by one."""

import torch

from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.splits import fold_split


def make_graph_task(graphs: int = 20, seed: int = 0, weighted: bool = True) -> GraphTask:
    """Graphs of 1...6 nodes, some without edges, whose features number the nodes and whose edges are shuffled."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.arange(graphs) % 6 + 1
    batch = torch.arange(graphs).repeat_interleave(sizes)
    pairs = torch.randint(batch.numel(), (2, 60 * graphs), generator=generator)
    edge_index = pairs[:, batch[pairs[0]] == batch[pairs[1]]]
    edge_index = edge_index[:, batch[edge_index[0]] != 3]
    y = torch.arange(graphs) % 2
    return GraphTask(
        "graphs",
        torch.arange(batch.numel()).unsqueeze(1).float(),
        edge_index,
        y,
        fold_split(y, folds=5, fold=0),
        edge_weight=torch.rand(edge_index.shape[1], generator=generator) if weighted else None,
        batch=batch,
    )
