"""Graph classification datasets of TUDataset (Morris et al., 2020), through PyTorch Geometric."""

from pathlib import Path

from torch import Tensor
from torch_geometric.datasets import TUDataset

from mixq_rl.datasets.features import one_hot_degree, standardised
from mixq_rl.datasets.pyg import Graphs, side_by_side, untouched
from mixq_rl.datasets.splits import check_fold, fold_split
from mixq_rl.datasets.task import GraphTask
from mixq_rl.edges import check_edge_index
from mixq_rl.errors import InvalidGraphError

__all__ = ["load_tudataset"]

_FOLDS = 10
_PARTS = ("node_labels", "node_attributes", "graph_labels", "graph_attributes")
_HINT = "; the names are listed at https://chrsmrrs.github.io/datasets, spelt as they are there"


def load_tudataset(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/tudataset/<name>/raw``, split into ten stratified folds (Xu et al., 2019).

    Features are the one-hot labels of the nodes, as in the literature and by default in PyTorch Geometric. If nodes
    have no labels, features are their attributes, standardised by the training graphs. If nodes have neither, features
    are one-hot degrees. Edge labels and edge attributes are not read.

    Args:
        name: name of the dataset: ``"PROTEINS"``.
        root: the data root; must exist.
        fold: number of the fold that is the test split, 0...9; the next fold is for validation. None: 0.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
        InvalidGraphError: if graphs do not have one class each, or the raw files would take too much memory.
        InputError: for a fold outside 0...9.
    """
    chosen = check_fold(name, fold, _FOLDS)
    optional = [f"{name}_{part}.txt" for part in _PARTS]
    with untouched(name, root, f"tudataset/{name}/raw", optional=optional, hint=_HINT) as open_dataset:
        dataset = open_dataset(TUDataset, root=str(root / "tudataset"), name=name, use_node_attr=True)
        graphs = side_by_side(list(dataset))
        if graphs.y.is_floating_point() or graphs.y.numel() != len(dataset):
            raise InvalidGraphError(f"{name} has other labels than one class for each graph: choose another dataset")
        check_edge_index(graphs.edge_index, graphs.batch.numel())
        masks = fold_split(graphs.y, folds=_FOLDS, fold=chosen)
        x = _features(graphs, dataset.num_node_attributes, masks["train"])
        return GraphTask(name, x, graphs.edge_index, graphs.y, masks, batch=graphs.batch)


def _features(graphs: Graphs, num_attributes: int, training: Tensor) -> Tensor:
    if graphs.x is None:
        return one_hot_degree(graphs.edge_index, graphs.batch.numel())
    if not num_attributes:
        return graphs.x
    attributes, labels = graphs.x[:, :num_attributes], graphs.x[:, num_attributes:]
    return labels if labels.shape[1] else standardised(attributes, training[graphs.batch])
