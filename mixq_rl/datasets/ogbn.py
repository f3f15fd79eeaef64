"""Node classification datasets of the Open Graph Benchmark (Hu et al., 2020).

The loaders raise ``DataNotFoundError`` if the package ``ogb`` cannot be imported, or the files are damaged, or do not
exist and cannot be downloaded, ``InvalidGraphError`` if the files would take too much memory or contradict each other,
and ``InputError`` for another fold than 0 and None.
"""

from pathlib import Path

from torch_geometric.utils import scatter, to_undirected

from mixq_rl.datasets.ogb import opened, own_split
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_ogbn", "load_ogbn_proteins"]

_MODULE, _CLASS = "nodeproppred", "PygNodePropPredDataset"
_PROTEINS_MEMORY = 8 * 2**30


def load_ogbn(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ogbn-arxiv or ogbn-products, with the split of the dataset. Edges are made undirected."""
    check_fold(name, fold)
    with opened(name, root, _MODULE, _CLASS) as dataset:
        data = dataset[0]
        edge_index = to_undirected(data.edge_index.long(), num_nodes=data.num_nodes)
        masks = own_split(dataset, data.num_nodes)
        return GraphTask(name, data.x.float(), edge_index, data.y.reshape(-1).long(), masks)


def load_ogbn_proteins(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ogbn-proteins: 112 labels for each protein, measured by ROC-AUC, with the split of the dataset.

    Proteins have no features. As in the published baselines, they are the means of the eight features of a protein's
    edges.
    """
    check_fold(name, fold)
    with opened(name, root, _MODULE, _CLASS, expected=_PROTEINS_MEMORY) as dataset:
        data = dataset[0]
        x = scatter(data.edge_attr.float(), data.edge_index[1], dim=0, dim_size=data.num_nodes, reduce="mean")
        masks = own_split(dataset, data.num_nodes)
        return GraphTask(name, x, data.edge_index.long(), data.y.float(), masks, metric="roc-auc")
