"""Planetoid's citation graphs (Yang et al., 2016) through PyTorch Geometric, public splits."""

import io
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import torch
from torch_geometric.datasets import Planetoid
from torch_geometric.transforms import NormalizeFeatures

from mixq_rl.datasets.task import GraphTask
from mixq_rl.errors import DataNotFoundError

__all__ = ["load_planetoid"]


class _Planetoid(Planetoid):
    """Planetoid that leaves its root as it is: what is derived from the raw files goes to ``scratch``."""

    def __init__(self, root: str, name: str, scratch: str) -> None:
        self._scratch = scratch
        super().__init__(root, name)

    @property
    def processed_dir(self) -> str:
        return self._scratch


def load_planetoid(name: str, root: Path) -> GraphTask:
    """Load ``<root>/planetoid/<name>/raw``, downloading the raw files into it if they are not there.

    Args:
        name: ``"Cora"`` or ``"CiteSeer"``.
        root: the data root; must exist.

    Raises:
        DataNotFoundError: if the raw files are neither there nor can be fetched.
    """
    raw = root / "planetoid" / name / "raw"
    if not root.is_dir():
        raise DataNotFoundError(
            f"data folder {str(root)!r} does not exist: looked for the files of {name} in {str(raw)!r}; create the "
            f"folder to have them downloaded into it, or name another with --data-root or MIXQ_RL_DATA"
        )
    # PyTorch Geometric reports its progress on standard error, past anyone who did not ask.
    with tempfile.TemporaryDirectory() as scratch, redirect_stderr(io.StringIO()):
        try:
            data = _Planetoid(str(root / "planetoid"), name, scratch)[0]
        except OSError as error:
            raise DataNotFoundError(
                f"no files of {name} in {str(raw)!r}, and downloading them failed ({error}): copy the files "
                f"ind.{name.lower()}.* of the Planetoid distribution there, or name another data folder with "
                f"--data-root or MIXQ_RL_DATA"
            ) from error
        except Exception as error:  # damaged files make the loader's parsers fail in any way
            raise DataNotFoundError(
                f"the files of {name} in {str(raw)!r} are damaged ({error}): delete that folder and fetch them anew"
            ) from error
    data = NormalizeFeatures()(data)
    edge_index = data.edge_index.to(torch.int64)
    masks = {"train": data.train_mask, "validation": data.val_mask, "test": data.test_mask}
    return GraphTask(name, data.x.float(), edge_index, data.y, masks)  # type: ignore[arg-type]
