"""Planetoid's citation graphs (Yang et al., 2016) of PyTorch Geometric, with the public splits."""

from pathlib import Path

from torch_geometric.datasets import Planetoid
from torch_geometric.transforms import NormalizeFeatures

from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask

__all__ = ["load_planetoid"]


def load_planetoid(name: str, root: Path, fold: int | None = None) -> GraphTask:
    """Load ``<root>/planetoid/<name>/raw``; features are row-normalised.

    Args:
        name: ``"Cora"``, ``"CiteSeer"`` or ``"PubMed"``.
        root: the data root; must exist.
        fold: 0 or None.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
        InvalidGraphError: if the raw files would take too much memory, or contradict each other.
        InputError: for any other fold.
    """
    check_fold(name, fold)
    with untouched(name, root, f"planetoid/{name}/raw") as open_dataset:
        data = open_dataset(Planetoid, root=str(root / "planetoid"), name=name)[0]
        data = NormalizeFeatures()(data)
        masks = {"train": data.train_mask, "validation": data.val_mask, "test": data.test_mask}
        return GraphTask(name, data.x.float(), data.edge_index.long(), data.y, masks)  # type: ignore[arg-type]
