"""Registry of datasets, and loading of tasks by name."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path

import torch

from mixq_rl.datasets.citation import load_citation
from mixq_rl.datasets.csl import load_csl
from mixq_rl.datasets.file import SUFFIXES, load_file
from mixq_rl.datasets.file_entries import check_exists
from mixq_rl.datasets.inspection import nothing_to_learn
from mixq_rl.datasets.rmat import load_rmat, rmat_scale
from mixq_rl.datasets.splits import check_fold
from mixq_rl.datasets.task import GraphTask
from mixq_rl.datasets.topics import load_topics
from mixq_rl.devices import resolve_device
from mixq_rl.errors import InvalidGraphError, UnknownNameError
from mixq_rl.registry import Registry

__all__ = ["check_name", "datasets", "find_task", "load_task", "reads_root"]

_logger = logging.getLogger("mixq_rl.data")

_TU_PREFIX = "tu:"
_BUILT_IN = ("citation", "csl", "topics")
_FILE_SUFFIX = re.compile(
    r"\.(csv|tsv|txt|json|pkl|pickle|pth|npy|mat|gml|graphml|gexf|edgelist|h5|hdf5|parquet|gz|zip|safetensors)"
)
_RMAT_NAME = re.compile(r"rmat-[^./\\]*", re.IGNORECASE)
_TU_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# By name of module and function: the import of PyTorch Geometric takes seconds, and some datasets do not need it.
_LOADERS = {
    ("planetoid", "load_planetoid"): ("Cora", "CiteSeer", "PubMed"),
    ("node_graphs", "load_amazon"): ("Computers", "Photo"),
    ("node_graphs", "load_coauthor"): ("CS", "Physics"),
    ("node_graphs", "load_twitch"): ("DE", "EN", "ES", "FR", "PT", "RU"),
    ("node_graphs", "load_facebook"): ("Facebook",),
    ("node_graphs", "load_wikipedia"): ("Chameleon", "Squirrel"),
    ("node_graphs", "load_flickr"): ("Flickr",),
    ("node_graphs", "load_reddit"): ("Reddit",),
    ("ogbn", "load_ogbn"): ("ogbn-arxiv", "ogbn-products"),
    ("ogbn", "load_ogbn_proteins"): ("ogbn-proteins",),
    ("ogbg", "load_molecules"): (
        *("ogbg-molhiv", "ogbg-molpcba", "ogbg-molbace", "ogbg-molbbbp", "ogbg-molclintox", "ogbg-molmuv"),
        *("ogbg-molsider", "ogbg-moltox21", "ogbg-moltoxcast"),
    ),
    ("ppi", "load_ppi"): ("PPI",),
    ("superpixels", "load_superpixels"): ("MNIST", "CIFAR10"),
    ("tudataset", "load_tudataset"): (
        *("MUTAG", "PROTEINS", "ENZYMES", "DD", "NCI1", "NCI109", "PTC_MR", "AIDS", "Mutagenicity", "BZR", "COX2"),
        *("DHFR", "FRANKENSTEIN", "COLLAB", "IMDB-BINARY", "IMDB-MULTI"),
        *("REDDIT-BINARY", "REDDIT-MULTI-5K", "REDDIT-MULTI-12K"),
    ),
}

Loader = Callable[[Path, int | None], GraphTask]


def _load_from(module: str, function: str, name: str, root: Path, fold: int | None) -> GraphTask:
    task: GraphTask = getattr(import_module(f"mixq_rl.datasets.{module}"), function)(name, root, fold)
    return task


datasets: Registry[Loader] = Registry("dataset")


@datasets.register("citation")
def _citation(root: Path, fold: int | None) -> GraphTask:
    check_fold("citation", fold)
    return load_citation()


@datasets.register("CSL")
def _csl(root: Path, fold: int | None) -> GraphTask:
    return load_csl(fold)


@datasets.register("topics")
def _topics(root: Path, fold: int | None) -> GraphTask:
    check_fold("topics", fold)
    return load_topics()


def _rmat(scale: int, root: Path, fold: int | None) -> GraphTask:
    check_fold(f"rmat-{scale}", fold)
    return load_rmat(scale)


for (_module, _function), _names in _LOADERS.items():
    for _name in _names:
        datasets.register(_name)(partial(_load_from, _module, _function, _name))


def load_task(
    name: str,
    root: str | PathLike[str] = "data",
    *,
    fold: int | None = None,
    metric: str | None = None,
    device: str | torch.device = "cpu",
) -> GraphTask:
    """Return the task of a dataset or a file.

    What was done to the data of a file is in ``notes`` of the task. The logger ``mixq_rl.data`` gets these lines as
    information, and a warning for a task from which nothing can be learned: one class, no edges, the same features.

    Args:
        name: ``"citation"``, ``"CSL"``, ``"topics"``, or ``"rmat-16"`` for a power-law graph of 2^16 nodes (built in);
            a dataset below ``root``, such as ``"Cora"``; ``"tu:NAME"`` for any other dataset of TUDataset; or a path
            that ends in ``.npz`` or ``.pt``.
        root: folder of the datasets' files.
        fold: number of the split, from 0, for datasets with several splits (TUDataset, Amazon, Coauthor, Twitch,
            Facebook, Chameleon, Squirrel and files of graphs without masks: 10, CSL: 5; files whose masks have several
            columns). None: the first.
        metric: name in :data:`~mixq_rl.datasets.metrics.metrics` of the measure that selects networks: ``"accuracy"``,
            ``"balanced-accuracy"``, ``"macro-f1"``, ``"micro-f1"``, ``"roc-auc"``. None: that of the dataset.
        device: device of the tensors, and thus of training on the task: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or
            ``"auto"`` for a GPU if torch sees one.

    Raises:
        UnknownNameError: for an unknown name; the message lists the known names and the nearest.
        DataNotFoundError: if files are missing or damaged; the message says where they belong and how to get them.
        InvalidGraphError: if the data of a graph are inconsistent, or would take too much memory.
        InputError: for a fold that the dataset does not have, a metric that does not measure its labels, or a device
            that does not exist.

    Example:
        >>> task = load_task("citation")
        >>> task.num_nodes, task.num_classes
        (2708, 7)
    """
    place = resolve_device(device)
    task = find_task(name, root, fold, metric)
    for note in task.notes:
        _logger.info("%s: %s", task.name, note)
    for finding in nothing_to_learn(task):
        _logger.warning("%s: %s", task.name, finding)
    return task.to(place)


def find_task(
    name: str, root: str | PathLike[str] = "data", fold: int | None = None, metric: str | None = None
) -> GraphTask:
    """Do the same as :func:`load_task` on the CPU, without log lines."""
    is_file = Path(name).suffix.lower() in SUFFIXES
    task = load_file(Path(name), fold) if is_file else _loader(name)(Path(root), fold)
    return task if metric is None else replace(task, metric=metric)


def check_name(name: str) -> None:
    """Check that a dataset has this name, or that it is the path of a file or folder, without loading anything.

    Raises:
        UnknownNameError: for an unknown name.
        DataNotFoundError: if the file or folder does not exist.
        InvalidGraphError: for a file of another kind.
    """
    if Path(name).suffix.lower() not in SUFFIXES:
        _loader(name)
    else:
        check_exists(Path(name))


def reads_root(name: str) -> bool:
    """Return whether the dataset of a name is read from the data root: it is neither built in nor a file."""
    is_built_in = name.lower() in _BUILT_IN or _RMAT_NAME.fullmatch(name) is not None
    return not is_built_in and Path(name).suffix.lower() not in SUFFIXES


def _loader(name: str) -> Loader:
    if name.lower().startswith(_TU_PREFIX):
        wanted = name[len(_TU_PREFIX) :]
        if not _TU_NAME.fullmatch(wanted):
            raise UnknownNameError(f"{wanted!r} in {name!r} cannot be a dataset's name: write it as in tu:PROTEINS")
        listed = {known.lower(): known for known in _LOADERS["tudataset", "load_tudataset"]}
        return partial(_load_from, "tudataset", "load_tudataset", listed.get(wanted.lower(), wanted))
    if _RMAT_NAME.fullmatch(name):
        return partial(_rmat, rmat_scale(name))
    try:
        return datasets[name]
    except UnknownNameError as error:
        _refuse_other_file(name)
        raise UnknownNameError(
            f"{error}; or write {_TU_PREFIX}NAME for another dataset of TUDataset, rmat-SCALE for a power-law graph of "
            f"2^SCALE nodes, or give the path of a file ending in {' or '.join(SUFFIXES)}"
        ) from error


def _refuse_other_file(name: str) -> None:
    """Refuse what is a file or folder, or looks like one, but has another suffix than graphs have."""
    path = Path(name)
    if not path.exists() and not _FILE_SUFFIX.fullmatch(path.suffix.lower()):
        return
    write = "numpy.savez('graph.npz', x=x, edge_index=edge_index, y=y) writes one"
    if path.is_dir():
        raise InvalidGraphError(f"{name!r} is a folder: name a file ending in {' or '.join(SUFFIXES)}; {write}")
    kind = f"files ending in {path.suffix!r}" if path.suffix else "files without a suffix"
    raise InvalidGraphError(f"{name!r}: {kind} are not read, only those ending in {' or '.join(SUFFIXES)}; {write}")
