"""Graph functions in a traced model, as transforms of the edges that its layers sum over."""

import inspect
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import fx
from torch_geometric import utils
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from mixq_rl.edge_transforms import (
    AddSelfLoops,
    Coalesce,
    DropEdges,
    DropNodes,
    EdgeTransform,
    Normalize,
    RemoveSelfLoops,
    ToUndirected,
)
from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.sizes import (
    is_edge_index,
    is_item,
    is_number_of_edges,
    is_number_of_nodes,
    is_one_each,
    is_shape,
)

__all__ = [
    "GRAPH_FUNCTIONS",
    "RANDOM_FUNCTIONS",
    "SUPPORTED",
    "Transforms",
    "is_of_graph",
    "kept_whole",
    "number_of_results",
    "read_index",
    "read_weight",
    "without_weights",
]

Transforms = tuple[EdgeTransform, ...]
"""Changes of the edges of a model's input, in their order."""


class _Change(NamedTuple):
    """What a graph function does.

    Attributes:
        index: the edges that it takes.
        weight: their weights, or None.
        transform: the change; None: none.
    """

    index: Any
    weight: Any
    transform: EdgeTransform | None


def _loops(node: fx.Node, edge_index: Any, edge_attr: Any, fill_value: Any, num_nodes: Any) -> _Change:
    _check(node, "num_nodes", num_nodes, is_number_of_nodes(num_nodes), "leave it out, or hand it x.size(0)")
    _check(node, "fill_value", fill_value, isinstance(fill_value, int | float | None), "give it a number")
    fill = 1.0 if fill_value is None else float(fill_value)
    remaining = node.target.__name__ == "add_remaining_self_loops"  # type: ignore[union-attr]
    return _Change(edge_index, edge_attr, AddSelfLoops(fill, remaining, num_nodes is not None))


def _remove_loops(node: fx.Node, edge_index: Any, edge_attr: Any) -> _Change:
    return _Change(edge_index, edge_attr, RemoveSelfLoops())


def _merged(kind: Callable[[str], EdgeTransform]) -> Callable[..., _Change]:
    def read(node: fx.Node, edge_index: Any, edge_attr: Any, num_nodes: Any, reduce: str, **order: Any) -> _Change:
        _check(node, "num_nodes", num_nodes, is_number_of_nodes(num_nodes), "leave it out, or hand it x.size(0)")
        try:
            transform = kind(reduce)
        except ValueError as error:
            raise refusal(node, f"cannot be converted: {error}") from error
        return _Change(edge_index, edge_attr if isinstance(edge_attr, fx.Node) else None, transform)

    return read


def _sorted(node: fx.Node, edge_index: Any, edge_attr: Any, **order: Any) -> _Change:
    return _Change(edge_index, edge_attr if isinstance(edge_attr, fx.Node) else None, None)


def _normalized(
    node: fx.Node,
    edge_index: Any,
    edge_weight: Any,
    num_nodes: Any,
    improved: bool,
    add_self_loops: bool,
    flow: str,
    dtype: Any,
) -> _Change:
    _check(node, "num_nodes", num_nodes, is_number_of_nodes(num_nodes), "leave it out, or hand it x.size(0)")
    _check(node, "flow", flow, flow == "source_to_target", "leave it out")
    try:
        weighted = read_weight(edge_weight) is not None
    except ValueError:
        raise refusal(node, "takes other weights than the model is given: hand it edge_weight") from None
    loop_weight = (2.0 if improved else 1.0) if add_self_loops else None
    return _Change(edge_index, edge_weight, Normalize(loop_weight, weighted, num_nodes is not None))


def _dropped(node: fx.Node, edge_index: Any, p: float, force_undirected: bool, training: bool) -> _Change:
    return _Change(edge_index, None, _drop(node, DropEdges, p, training, undirected=force_undirected))


def _dropped_weighted(
    node: fx.Node,
    edge_index: Any,
    edge_attr: Any,
    p: float,
    force_undirected: bool,
    num_nodes: Any,
    training: bool,
) -> _Change:
    return _Change(edge_index, edge_attr, _drop(node, DropEdges, p, training, undirected=force_undirected))


def _dropped_nodes(
    node: fx.Node, edge_index: Any, p: float, num_nodes: Any, training: bool, relabel_nodes: bool
) -> _Change:
    _check(node, "num_nodes", num_nodes, is_number_of_nodes(num_nodes), "leave it out, or hand it x.size(0)")
    _check(node, "relabel_nodes", relabel_nodes, not relabel_nodes, "leave it out")
    return _Change(edge_index, None, _drop(node, DropNodes, p, training))


def _drop(node: fx.Node, kind: Callable[..., EdgeTransform], p: Any, training: Any, **options: Any) -> Any:
    _check(node, "p", p, isinstance(p, int | float) and 0 <= p <= 1, "choose a number of 0 <= p <= 1")
    if not training or p == 0:
        return None
    before = list(node.graph.nodes)
    site = sum(other.target in RANDOM_FUNCTIONS for other in before[: before.index(node)])
    return kind(float(p), site=site, **options)


RANDOM_FUNCTIONS: tuple[Any, ...] = (utils.dropout_edge, utils.dropout_adj, utils.dropout_node)
"""Functions that drop edges in training."""

_READERS: dict[Any, Callable[..., _Change]] = {
    utils.add_self_loops: _loops,
    utils.add_remaining_self_loops: _loops,
    utils.remove_self_loops: _remove_loops,
    utils.to_undirected: _merged(ToUndirected),
    utils.coalesce: _merged(Coalesce),
    utils.sort_edge_index: _sorted,
    gcn_norm: _normalized,
    utils.dropout_edge: _dropped,
    utils.dropout_adj: _dropped_weighted,
    utils.dropout_node: _dropped_nodes,
}

_MERGING = (utils.to_undirected, utils.coalesce, utils.sort_edge_index)

SUPPORTED = ", ".join(function.__name__ for function in _READERS)

GRAPH_FUNCTIONS: frozenset[Any] = frozenset(
    [gcn_norm, *(value for name, value in vars(utils).items() if name in utils.__all__ and inspect.isfunction(value))]
)
"""Functions that a trace does not enter: PyTorch Geometric's functions of graphs."""


def number_of_results(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the length of the tuple that a call of a graph function returns; 0: it returns no tuple."""
    if function in _MERGING:
        return 2 if len(args) > 1 or "edge_attr" in kwargs else 0
    if function not in _READERS:
        return 0
    return 3 if _READERS[function] is _dropped_nodes else 2


def refusal(node: fx.Node, reason: str) -> UnsupportedLayerError:
    """Return an error that names a graph function."""
    return UnsupportedLayerError(f"function {node.target.__name__!r} in the model's forward {reason}")  # type: ignore[union-attr]


def _check(node: fx.Node, option: str, value: Any, fits: bool, remedy: str) -> None:
    if not fits:
        raise refusal(node, f"has {option}={value}, which is not supported: {remedy}")


def _change(node: fx.Node) -> _Change:
    signature = inspect.signature(node.target)  # type: ignore[arg-type]
    bound = signature.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return _READERS[node.target](node, **bound.arguments)


def read_index(argument: Any) -> Transforms | None:
    """Return the transforms that made a layer's edges from the model's edges; None if that cannot be told."""
    if not isinstance(argument, fx.Node):
        return None
    if argument.op == "placeholder":
        return () if argument.target == "edge_index" else None
    function = argument.args[0] if is_item(argument, 0) else argument
    if not isinstance(function, fx.Node) or function.target not in _READERS:
        return None
    change = _change(function)
    return _after(read_index(change.index), change.transform)


def read_weight(argument: Any) -> Transforms | None:
    """Return the transforms that made edge weights from the model's edge weights, or from its edges.

    Returns:
        None for edges without weights.

    Raises:
        ValueError: for other weights.
    """
    if argument is None:
        return None
    if isinstance(argument, fx.Node) and argument.op == "placeholder" and argument.target == "edge_weight":
        return ()
    if isinstance(argument, fx.Node) and argument.target is operator.getitem:
        source, item = argument.args
        if isinstance(source, fx.Node) and item == 1 and source.target in _READERS:
            change = _change(source)
            if isinstance(change.transform, Normalize):
                return _after(read_index(change.index), change.transform)
            return _after(read_weight(change.weight), change.transform)
        masked = isinstance(item, fx.Node) and is_item(item, 1) and item.args[0]
        if isinstance(masked, fx.Node) and masked.target in RANDOM_FUNCTIONS:
            return _after(read_weight(source), _change(masked).transform)
    raise ValueError(argument)


def _after(before: Transforms | None, transform: EdgeTransform | None) -> Transforms | None:
    if before is None or transform is None:
        return before
    return (*before, transform)


def is_of_graph(node: fx.Node) -> bool:
    """Return whether a call computes edges, their weights, or the number of nodes, and not features."""
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target in _READERS or is_number_of_nodes(node) or is_shape(node) or is_one_each(node):
        return True
    if is_number_of_edges(node) or (node.target is getattr and is_edge_index(node.args[0])):  # its device, as well
        return True
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return False
    source, item = node.args[0], node.args[1]
    masks = isinstance(item, fx.Node) and is_of_graph(item)
    return source.target in _READERS or masks or (is_of_graph(source) and isinstance(item, int))


def without_weights(transforms: Transforms) -> Transforms:
    """Return transforms that make the same edges, for a layer that takes no weights."""
    found: list[EdgeTransform] = []
    for transform in transforms:
        if not isinstance(transform, Normalize):
            found.append(transform)
        elif transform.loop_weight is not None:
            found.append(AddSelfLoops(remaining=True, every_node=transform.every_node))
    return tuple(found)


def kept_whole(node: fx.Node) -> fx.Node | None:
    """Return the value that a result of a function which drops edges has in evaluation, or None for other calls."""
    if node.target is not operator.getitem:
        return None
    source, item = node.args
    mask = item.args[0] if isinstance(item, fx.Node) and is_item(item, 1) else None
    if isinstance(mask, fx.Node) and mask.target in RANDOM_FUNCTIONS:
        return source if isinstance(source, fx.Node) else None
    if isinstance(source, fx.Node) and source.target in RANDOM_FUNCTIONS:
        change = _change(source)
        whole = change.index if item == 0 else change.weight
        return whole if isinstance(whole, fx.Node) else None
    return None
