"""Graph problems by name."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path

from mixq_rl.datasets.citation import load_citation
from mixq_rl.datasets.file import SUFFIXES, load_file
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import UnknownNameError
from mixq_rl.registry import Registry

__all__ = ["GraphTask", "Split", "datasets", "load_task"]


def _planetoid(name: str, root: Path) -> GraphTask:
    # PyTorch Geometric takes seconds to import: only those who ask for its graphs wait for it.
    from mixq_rl.datasets.planetoid import load_planetoid

    return load_planetoid(name, root)


datasets: Registry[Callable[[Path], GraphTask]] = Registry("dataset")
datasets.register("citation")(lambda root: load_citation())
for _name in ("Cora", "CiteSeer"):
    datasets.register(_name)(partial(_planetoid, _name))


def load_task(name: str, root: str | PathLike[str] = "data") -> GraphTask:
    """Load a graph problem.

    Args:
        name: ``"citation"`` (built in), ``"Cora"`` or ``"CiteSeer"`` (below ``root``), or a path that
            ends in ``.npz`` or ``.pt``.
        root: folder of the datasets' files.

    Raises:
        UnknownNameError: listing the known names and the nearest.
        DataNotFoundError: saying what was looked for and how to get it.
        InvalidGraphError: if a graph contradicts itself.

    Example:
        >>> task = load_task("citation")
        >>> task.num_nodes, task.num_classes
        (2708, 7)
    """
    if Path(name).suffix.lower() in SUFFIXES:
        return load_file(Path(name))
    try:
        loader = datasets[name]
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; or give the path of a file ending in {' or '.join(SUFFIXES)}") from error
    return loader(Path(root))
