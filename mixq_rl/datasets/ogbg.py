"""Molecules of the Open Graph Benchmark (Hu et al., 2020)."""

from pathlib import Path

from mixq_rl.datasets.features import one_hot_columns
from mixq_rl.datasets.memory_limit import check_memory
from mixq_rl.datasets.ogb import opened, own_split
from mixq_rl.datasets.pyg import side_by_side
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_molecules"]

_MEMORY = 2**30
_FLOAT_BYTES = 4


def load_molecules(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load molecules with one class or several labels each, measured by ROC-AUC, with the split of the dataset.

    The features of an atom are nine categories, each as a one-hot vector. Features of bonds are not read.

    Args:
        name: ``"ogbg-molhiv"`` or ``"ogbg-molpcba"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if ``ogb`` cannot be imported, or the files are damaged, or do not exist and cannot be
            downloaded.
        InvalidGraphError: if the files would take too much memory, or contradict each other.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    with opened(name, root, "graphproppred", "PygGraphPropPredDataset", expected=_MEMORY) as dataset:
        graphs = side_by_side(list(dataset))
        assert graphs.x is not None
        columns = int((graphs.x.amax(dim=0) + 1).sum())
        check_memory(len(graphs.x) * columns * _FLOAT_BYTES, "one-hot features", 0, _MEMORY)
        x = one_hot_columns(graphs.x.long())
        y = graphs.y.reshape(len(dataset), -1)
        labels = y.float() if y.shape[1] > 1 else y[:, 0].long()
        masks = own_split(dataset, len(dataset))
        return GraphTask(name, x, graphs.edge_index, labels, masks, batch=graphs.batch, metric="roc-auc")
