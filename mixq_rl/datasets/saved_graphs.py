"""Graphs in what ``torch.save`` wrote: dictionaries, and objects of PyTorch Geometric as inert dictionaries."""

from dataclasses import dataclass
from typing import Any

from mixq_rl.datasets.inert import Named, Saved
from mixq_rl.datasets.messages import in_one_line
from mixq_rl.errors import InvalidGraphError

__all__ = ["SavedGraphs", "saved_graphs"]

_ADVICE = "it holds other objects than a dictionary of tensors, which is what torch.save(data.to_dict(), ...) writes"
_OLD_DATA = Named("torch_geometric.data.data", "Data")
_ORDERED = Named("collections", "OrderedDict")


@dataclass(frozen=True)
class SavedGraphs:
    """One or several graphs in a file, with inert entries.

    Attributes:
        graphs: entries of each graph by name, at least one graph.
        slices: beginnings of many graphs in the entries of the first, by name, as in an in-memory dataset; None: each
            graph has its own entries.
        origin: what the file holds, for a note; empty for a dictionary.
    """

    graphs: tuple[dict[str, Any], ...]
    slices: dict[str, Any] | None = None
    origin: str = ""


def saved_graphs(name: str, value: Any) -> SavedGraphs:
    """Return the graphs in a value that was read as inert.

    They may be a dictionary, a ``Data`` or ``Batch``, the pair of an in-memory dataset and its slices, or a list of
    graphs.

    Args:
        name: name of the file, for messages.
        value: the value.

    Raises:
        InvalidGraphError: for a heterogeneous graph, or a value of another type.
        ValueError: for other objects.
    """
    if isinstance(value, dict):
        return SavedGraphs((_named(value),))
    if isinstance(value, Saved):
        return SavedGraphs((_entries(name, value),), origin=f"a {_class(value)} of PyTorch Geometric")
    if isinstance(value, tuple) and len(value) in (2, 3) and (value[1] is None or _is_dictionary(value[1])):
        entries = _entries(name, value[0])
        slices = None if value[1] is None else _named(_plain(value[1]))
        if slices is None or not _is_graph(slices):  # otherwise it is a pair of graphs
            return SavedGraphs((entries,), slices, origin="an in-memory dataset of PyTorch Geometric")
    if isinstance(value, list | tuple) and value and all(_is_dictionary(item) or _is_object(item) for item in value):
        return SavedGraphs(tuple(_entries(name, item) for item in value), origin=f"{len(value)} graphs")
    raise InvalidGraphError(f"{name} must hold a dictionary of tensors, not a {type(value).__name__}")


def _is_graph(entries: dict[str, Any]) -> bool:
    """Return whether a dictionary has entries of two dimensions, which slices have not."""
    found = entries.get("edge_index")
    arguments = found.arguments if isinstance(found, Saved) else None
    return (
        isinstance(arguments, tuple)
        and len(arguments) > 2
        and isinstance(arguments[2], tuple)
        and len(arguments[2]) == 2
    )


def _is_dictionary(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, Saved) and value.made_by == _ORDERED)


def _is_object(value: Any) -> bool:
    return isinstance(value, Saved) and isinstance(value.state, dict)


def _plain(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else value.items or {}


def _named(entries: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in entries.items()}


def _entries(name: str, value: Any) -> dict[str, Any]:
    """Return the entries of one graph.

    Raises:
        InvalidGraphError: for a heterogeneous graph.
        ValueError: for anything else than a dictionary or an object of PyTorch Geometric.
    """
    if _is_dictionary(value):
        return _named(_plain(value))
    if not _is_object(value):
        raise ValueError(_ADVICE)
    state = value.state
    if "_node_store_dict" in state:
        raise InvalidGraphError(
            f"{name} holds a HeteroData: graphs of several types of nodes or edges are not supported; "
            "data.to_homogeneous() makes a graph of one type, if all nodes have features of one width"
        )
    store = state.get("_store")
    mapping = store.state.get("_mapping") if isinstance(store, Saved) and isinstance(store.state, dict) else None
    if isinstance(mapping, dict):
        return _named(mapping)
    if value.made_by == _OLD_DATA and "edge_index" in state:
        return _named(state)  # PyTorch Geometric before 2.0
    if isinstance(value.made_by, Named):
        raise ValueError(_ADVICE.replace("other objects than", f"a {_class(value)}, not"))
    raise ValueError(_ADVICE)


def _class(value: Saved) -> str:
    return in_one_line(value.made_by.name, 40) if isinstance(value.made_by, Named) else "Batch"
