"""Memory of the graphs that integer networks are called with, so that a graph is not prepared again in every call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor
from torch.nn import Parameter

from mixq_rl.edges import nodes_of
from mixq_rl.extents import check_held
from mixq_rl.graph import Graph
from mixq_rl.native import address, extension, readable

__all__ = ["Given", "prepare_once"]

_MOST_ENTRIES = 2**26
"""Number of edges and nodes of all graphs that are remembered; the last one always is."""
_TARGETS = 2**40  # where the checksum's blocks of targets begin: behind those of all sources


class Given(NamedTuple):
    """The tensors that a graph is made from, as a user gives them.

    Attributes:
        edge_index: int64 or int32 ``[2, edges]``.
        edge_weight: floating point ``[edges]``, or None.
        batch: int64 ``[nodes]``, or None.
    """

    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None

    def graph(self, num_nodes: int) -> Graph:
        """Return the graph.

        Raises:
            InvalidGraphError: for an edge to a node that does not exist, or inconsistent tensors.
        """
        return Graph(self.edge_index, num_nodes, edge_weight=self.edge_weight, batch=self.batch)


@dataclass(frozen=True)
class _Entry:
    """A graph that is remembered.

    Attributes:
        references: the tensors that were given.
        state: their versions, addresses, shapes and dtypes.
        checksums: checksums of their contents; None on a GPU.
        graph: the graph, made from private copies of a CPU's tensors.
        prepared: what models prepared of it last, by the model's identity; it keeps the graph's caches alive.
    """

    references: tuple[ref[Tensor] | None, ...]
    state: tuple[Any, ...]
    checksums: tuple[Any, ...] | None
    graph: Graph
    prepared: dict[int, tuple[ref[Any], Any]] = field(default_factory=dict)

    def is_of(self, given: Given) -> bool:
        pairs = zip(self.references, given, strict=True)
        return all((None if known is None else known()) is tensor for known, tensor in pairs)

    def kept(self, model: Any, prepared: Sequence[Any]) -> Any:
        """Keep what a model prepared, and return it, or what is kept already if that has the same parts.

        The latter may have a pipeline.
        """
        identity, known = id(model), self.prepared
        if identity not in known or known[identity][0]() is not model:
            known[identity] = ref(model, lambda _: known.pop(identity, None)), prepared
            return prepared
        reference, before = known[identity]
        if len(before) == len(prepared) and all(map(is_, before, prepared)):
            return before
        known[identity] = reference, prepared
        return prepared


_Key = tuple[int, ...]
_entries: dict[_Key, _Entry] = {}


def prepare_once(model: Any, prepare: Callable[[Graph], Sequence[Any]], given: Given, num_nodes: int) -> Any:
    """Return what a model prepares of a graph.

    The graph, its adjacencies and their quantized entries are kept while the tensors that it was made from exist and
    are unchanged, and are shared by all models. They take up to 8 bytes for each edge, and about 5 more for each
    propagation, and go with the tensors.

    On a CPU every call compares a checksum of 128 bits of the tensors' contents, so that a change is noticed whoever
    made it: torch, numpy or another process. The graph is made from private copies, whose checksums are taken. On a GPU
    a checksum would wait for the device: there the tensors' identity and torch's count of their writes decide, and
    nothing is kept of inference tensors, whose writes are not counted. Nothing is kept in a program that is traced
    either, of subclasses of tensors, and on a CPU without the extension in C++.

    Args:
        model: the model, which is not kept alive.
        prepare: computes the result from a graph, quickly where the graph's caches have what it needs.
        given: the tensors.
        num_nodes: number of nodes.

    Raises:
        InvalidGraphError: for an edge to a node that does not exist, or tensors that do not fit each other.
        InputError: for a tensor whose storage was resized and does not hold it.
    """
    if not _can_be_kept(given):
        return prepare(given.graph(num_nodes))
    with torch.inference_mode(False):  # what is kept may be used outside
        entry = _entry_of(given, num_nodes)
        if entry is None:
            return prepare(given.graph(num_nodes))
        result = prepare(entry.graph)
    return entry.kept(model, result)


def _can_be_kept(given: Given) -> bool:
    edge_index = given.edge_index
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        return False
    if edge_index.device.type == "cpu":
        with torch.no_grad():  # integers have no gradient to the weights
            return readable(*given)
    tensors = [tensor for tensor in given if tensor is not None]
    return not torch.compiler.is_compiling() and all(
        type(tensor) in (Tensor, Parameter) and not tensor.is_inference() for tensor in tensors
    )


def _entry_of(given: Given, num_nodes: int) -> _Entry | None:
    """Return the entry, which is made if there is none; None for tensors that are no graph."""
    key = (*(0 if tensor is None else id(tensor) for tensor in given), num_nodes)
    state = tuple(None if tensor is None else _state(tensor) for tensor in given)
    entry = _entries.get(key)
    known = entry is not None and entry.state == state and entry.is_of(given)
    if entry is not None and known and (entry.checksums is None or entry.checksums == _checksums(given)):
        return entry
    _entries.pop(key, None)
    own, checksums = Given._make(None if tensor is None else tensor.detach() for tensor in given), None
    if given.edge_index.device.type == "cpu":
        own, checksums = _copied(given)
        if checksums is None:
            return None
    entry = _Entry(_references(given, key), state, checksums, own.graph(num_nodes))
    _entries[key] = entry
    _forget_oldest()
    return entry


def _references(given: Given, key: _Key) -> tuple[ref[Tensor] | None, ...]:
    def forget(_: Any) -> None:
        _entries.pop(key, None)

    return tuple(None if tensor is None else ref(tensor, forget) for tensor in given)


def _forget_oldest() -> None:
    entries = list(_entries.items())
    total = sum(_size(entry) for _, entry in entries)
    for key, entry in entries[:-1]:
        if total <= _MOST_ENTRIES:
            return
        _entries.pop(key, None)
        total -= _size(entry)


def _size(entry: _Entry) -> int:
    return entry.graph.edge_index.shape[1] + entry.graph.num_nodes


def _state(tensor: Tensor) -> tuple[Any, ...]:
    version = None if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _checksums(given: Given, copy: Tensor | None = None) -> tuple[Any, ...] | None:
    """Return checksums of all tensors; None for a node beyond int32.

    Args:
        given: the tensors.
        copy: int32 ``[2, edges]``, contiguous, where the edges whose checksum is returned are copied to; None: nowhere.
    """
    check_held(zip(Given._fields, given, strict=True))
    edge_index, threads = given.edge_index, torch.get_num_threads()
    edges, first = edge_index.shape[1], address(copy)
    sources, targets = nodes_of(edge_index)
    native = extension()
    checksums = (
        native.copy_nodes(sources, edges, first, 0, threads),
        native.copy_nodes(targets, edges, 0 if copy is None else first + 4 * edges, _TARGETS, threads),
    )
    if None in checksums:
        return None
    return (*checksums, _bytes_checksum(given.edge_weight, threads), _bytes_checksum(given.batch, threads))


def _bytes_checksum(tensor: Tensor | None, threads: int) -> Any:
    if tensor is None:
        return None
    dense = tensor.contiguous()
    return extension().bytes_checksum(dense.data_ptr(), dense.numel() * dense.element_size(), threads)


def _copied(given: Given) -> tuple[Given, tuple[Any, ...] | None]:
    """Return copies that no other thread writes to, and their checksums."""
    check_held((("edge_weight", given.edge_weight), ("batch", given.batch)))
    edges = torch.empty(given.edge_index.shape, dtype=torch.int32, device="cpu")
    weight, batch = (
        None if tensor is None else tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in given[1:]
    )
    return Given(edges, weight, batch), _checksums(Given(given.edge_index, weight, batch), edges)
