"""Conversion of a traced model: each call becomes a node of a quantizable network, or is refused."""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from torch import fx, nn
from torch.nn.parameter import is_lazy
from torch_geometric.nn import MessagePassing

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.edges import GRAPH_FUNCTIONS, SUPPORTED, is_of_graph
from mixq_rl.nn.conversion.functions import FUNCTIONS, REPLACED_FUNCTIONS
from mixq_rl.nn.conversion.modules import MODULES
from mixq_rl.nn.conversion.replacements import REPLACEMENTS
from mixq_rl.nn.conversion.sharing import share
from mixq_rl.nn.conversion.sizes import is_edge_index
from mixq_rl.nn.node import INPUT, Node
from mixq_rl.propagation import Propagation

__all__ = ["convert"]


def convert(graph: fx.Graph, model: nn.Module) -> list[Node]:
    """Return the nodes of a quantizable network that computes the same as a traced model.

    Args:
        graph: the graph that :func:`~mixq_rl.nn.conversion.trace` returned.
        model: the traced model. Its batch normalisations become part of the nodes; other weights are copied.

    Raises:
        UnsupportedLayerError: naming each part of the model that cannot be converted, on a line of its own.
    """
    walk = _Walk(model, Counter(str(node.target) for node in graph.nodes if node.op == "call_module"))
    for node in graph.nodes:
        walk.visit(node)
    if walk.refusals:
        raise UnsupportedLayerError("\n".join(dict.fromkeys(walk.refusals)))
    if not walk.nodes:
        raise UnsupportedLayerError("the model returns its input: it has no layer to quantize")
    return walk.nodes


class _Walk:
    """State of a conversion: the nodes so far, and the refused calls."""

    def __init__(self, model: nn.Module, calls: Mapping[str, int]) -> None:
        self.model = model
        self.refusals: list[str] = []
        self._calls = calls
        self._first: dict[str, nn.Module] = {}
        self.nodes: list[Node] = []
        self._results: dict[fx.Node, str] = {}
        self._merged: set[fx.Node] = set()

    def visit(self, node: fx.Node) -> None:
        """Convert a call, unless it was merged into another one."""
        if node.op == "placeholder":
            self._results[node] = INPUT
        elif node.op == "output":
            self._check_output(node)
        elif node not in self._merged:
            shared = node.op == "call_module" and self._calls[str(node.target)] > 1
            call = Call(node, self.model, self._name(node), is_shared=shared)
            try:
                self._append(call)
            except UnsupportedLayerError as error:
                if not any(source.op == "get_attr" for source in node.all_input_nodes):  # refused themselves
                    self.refusals.append(str(error))
                self._results[node] = call.name

    def _append(self, call: Call) -> None:
        made = _converted(call)
        if made is None:
            return
        layer, sources = made
        if call.is_shared:
            share(layer, self._first.setdefault(str(call.node.target), layer))
        _set_transforms(layer, call)
        self._merged.update(call.merged)
        self._results[call.merged[-1]] = call.name
        self.nodes.append(Node(call.name, layer, tuple(self._results[source] for source in sources)))

    def _name(self, node: fx.Node) -> str:
        """Return the path of the called module, with the number of a later call, or the name of the function."""
        is_module = node.op == "call_module"
        name = str(node.target) or "model" if is_module else node.name
        taken, number, unique = set(self._results.values()), int(is_module), name
        while unique in taken:
            number += 1
            unique = f"{name}:{number}" if is_module else f"{name}_{number}"
        return unique

    def _check_output(self, node: fx.Node) -> None:
        if not isinstance(node.args[0], fx.Node):
            kind = type(node.args[0]).__name__.removeprefix("immutable_")
            self.refusals.append(f"the model's forward returns a {kind}: let it return the logits alone")
        elif is_of_graph(node.args[0]):
            self.refusals.append("the model's forward returns no features: let it return the logits")


def _converted(call: Call) -> Made | None:
    """Return the layer that a call becomes."""
    if is_of_graph(call.node):
        return None  # its takers read it
    if call.node.op == "get_attr":
        raise call.refusal(
            "is used outside of a layer",
            "let a Linear, BatchNorm or conv layer hold it; a number is taken as it is, such as 0.5 or alpha.item()",
        )
    if call.node.op == "call_module":
        module = call.model.get_submodule(str(call.node.target))
        converter: Callable[..., Made | None] | None = MODULES.get(type(module))
        if converter is None:
            raise call.refusal("is not supported", _replacement(module))
        _check_weights(call, module)
        converter = partial(converter, call, module)
    elif call.node.target in FUNCTIONS:
        converter = partial(FUNCTIONS[call.node.target], call)
    else:
        name = call.node.target if isinstance(call.node.target, str) else call.node.target.__name__
        if call.node.target in GRAPH_FUNCTIONS and name not in REPLACED_FUNCTIONS:
            raise call.refusal(
                "is not supported", f"apply it to the data; of graph functions {SUPPORTED} are supported"
            )
        known = sorted({key if isinstance(key, str) else key.__name__ for key in FUNCTIONS})
        if name == "getitem" and is_edge_index(call.node.args[0]):
            name = "degree"  # what the ends of edges are taken for
        raise call.refusal("is not supported", REPLACED_FUNCTIONS.get(name, f"supported are {', '.join(known)}"))
    try:
        inspect.signature(converter).bind(*call.node.args, **call.node.kwargs)
    except TypeError as error:
        is_short = "missing" in str(error)
        remedy = "hand it on; in a sequence, torch_geometric.nn.Sequential does" if is_short else "leave them out"
        raise call.refusal(f"has arguments that are not supported ({error})", remedy) from None
    return converter(*call.node.args, **call.node.kwargs)


def _check_weights(call: Call, module: nn.Module) -> None:
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise call.refusal("has no weights yet", "call the model once, or prepare it with a task, to fix its width")


def _set_transforms(layer: nn.Module, call: Call) -> None:
    """Let the parts of a layer that sum over edges change the edges first."""
    for part in layer.modules() if call.transforms else ():
        propagation = getattr(part, "propagation", None)
        if isinstance(propagation, Propagation) and not propagation.pooled:
            part.propagation = replace(propagation, transforms=call.transforms)  # type: ignore[assignment]


def _replacement(module: nn.Module) -> str:
    name = type(module).__name__
    if name in REPLACEMENTS:
        return REPLACEMENTS[name]
    kind = MessagePassing if isinstance(module, MessagePassing) else nn.Module
    known = sorted({known.__name__ for known in MODULES if issubclass(known, kind)})
    return f"supported are {', '.join(known)}"
