"""Conversion of a traced model: each call becomes a node of a quantizable network, or is refused."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import partial

from torch import fx, nn
from torch.nn.parameter import is_lazy
from torch_geometric.nn import MessagePassing

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.call import Call, Made, describe
from mixq_rl.nn.conversion.functions import FUNCTIONS, REPLACED_FUNCTIONS
from mixq_rl.nn.conversion.modules import MODULES
from mixq_rl.nn.conversion.replacements import REPLACEMENTS
from mixq_rl.nn.model import INPUT, Node

__all__ = ["convert"]


def convert(graph: fx.Graph, model: nn.Module) -> list[Node]:
    """Return the nodes of a quantizable network that computes the same as a traced model.

    Args:
        graph: the graph that :func:`~mixq_rl.nn.conversion.trace` returned.
        model: the traced model. Its batch normalisations become part of the nodes; other weights are copied.

    Raises:
        UnsupportedLayerError: naming each part of the model that cannot be converted, on a line of its own.
    """
    walk = _Walk(model, _repeated(graph, model))
    for node in graph.nodes:
        walk.visit(node)
    if walk.refusals:
        raise UnsupportedLayerError("\n".join(dict.fromkeys(walk.refusals)))
    if not walk.nodes:
        raise UnsupportedLayerError("the model returns its input: it has no layer to quantize")
    return walk.nodes


def _repeated(graph: fx.Graph, model: nn.Module) -> list[str]:
    """Return an error for each layer with parameters or buffers that is called more than once."""
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    first = {str(node.target): node for node in reversed(graph.nodes) if node.op == "call_module"}
    return [
        f"{describe(first[path], model)} is called {times} times, at places that need scales of their own: "
        f"give each place a layer of its own"
        for path, times in calls.items()
        if times > 1 and model.get_submodule(path).state_dict()
    ]


class _Walk:
    """State of a conversion: the nodes so far, and the refused calls."""

    def __init__(self, model: nn.Module, refusals: list[str]) -> None:
        self.model = model
        self.refusals = refusals
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
            call = Call(node, self.model, self._name(node))
            try:
                self._append(call)
            except UnsupportedLayerError as error:
                self.refusals.append(str(error))
                self._results[node] = call.name

    def _append(self, call: Call) -> None:
        made = _converted(call)
        if made is None:
            return
        layer, sources = made
        for merged in call.merged:
            _check_hooks(merged, self.model)
        self._merged.update(call.merged)
        self._results[call.merged[-1]] = call.name
        self.nodes.append(Node(call.name, layer, tuple(self._results[source] for source in sources)))

    def _name(self, node: fx.Node) -> str:
        """Return the path of the called module, or the name of the function, with a number if the name is taken."""
        name = str(node.target) or "model" if node.op == "call_module" else node.name
        taken, number, unique = set(self._results.values()), 0, name
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        return unique

    def _check_output(self, node: fx.Node) -> None:
        if not isinstance(node.args[0], fx.Node):
            kind = type(node.args[0]).__name__
            self.refusals.append(f"the model's forward returns a {kind}: let it return the logits alone")


def _converted(call: Call) -> Made | None:
    """Return the layer that a call becomes."""
    if call.node.op == "get_attr":
        raise call.refusal("is used outside of a layer", "let a Linear, BatchNorm or conv layer hold it")
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
        known = sorted({key if isinstance(key, str) else key.__name__ for key in FUNCTIONS})
        raise call.refusal("is not supported", REPLACED_FUNCTIONS.get(name, f"supported are {', '.join(known)}"))
    try:
        inspect.signature(converter).bind(*call.node.args, **call.node.kwargs)
    except TypeError as error:
        raise call.refusal(f"has arguments that are not supported ({error})", "leave them out") from None
    return converter(*call.node.args, **call.node.kwargs)


def _check_weights(call: Call, module: nn.Module) -> None:
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise call.refusal("has no weights yet", "call the model once, so that it learns the number of features")


def _check_hooks(node: fx.Node, model: nn.Module) -> None:
    """Check that a layer has no hooks: a call must compute its forward and nothing else."""
    parts = model.get_submodule(str(node.target)).modules() if node.op == "call_module" else ()
    for part in parts:
        if any(hooks for name, hooks in vars(part).items() if "forward" in name and name.endswith("hooks")):
            what = describe(node, model)
            raise UnsupportedLayerError(f"{what} has forward hooks: remove them, or let a layer do what they do")


def _replacement(module: nn.Module) -> str:
    name = type(module).__name__
    if name in REPLACEMENTS:
        return REPLACEMENTS[name]
    kind = MessagePassing if isinstance(module, MessagePassing) else nn.Module
    known = sorted({known.__name__ for known in MODULES if issubclass(known, kind)})
    return f"supported are {', '.join(known)}"
