"""Tracing: a float model as a graph of the layers and functions that it calls."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn
from torch_geometric.nn import Aggregation, GINConv
from torch_geometric.nn import Sequential as GraphSequential
from torch_geometric.nn.models import MLP
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.nn.pool import glob
from torch_geometric.utils import scatter

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.arguments import ModelCall, Roles, readings
from mixq_rl.nn.conversion.canonical import canonicalize, final_probabilities
from mixq_rl.nn.conversion.edges import GRAPH_FUNCTIONS, number_of_results
from mixq_rl.nn.conversion.phases import always_on, apply_dropout, same_but_dropout
from mixq_rl.printable import first_line

__all__ = ["trace"]

_POOLS = {"sum": glob.global_add_pool, "mean": glob.global_mean_pool, "max": glob.global_max_pool}
_COMPOSITE = (nn.Sequential, fx.GraphModule, GraphSequential, BasicGNN, MLP)
_logger = logging.getLogger(__name__)


def trace(model: nn.Module, given: set[str], *, multi_label: bool = False) -> fx.Graph:
    """Return the graph of the calls that a model makes.

    The placeholders of the graph are ``x``, ``edge_index``, ``edge_weight`` and ``batch``, also if the model gives its
    arguments other names. A module of a library is one call. The trace enters modules that users have written. It
    enters a ``GINConv`` too: one call stands for the sum, and the layers of its network follow. Functions of PyTorch
    Geometric are one call each.

    The model is traced in evaluation and in training. The graph is that of training, if both compute the same but for
    dropout; a softmax that gives the result is left out, or, with several labels of each row, a sigmoid.

    Args:
        model: a model in evaluation mode.
        given: inputs that the graph has, beside x and edge_index; others are None.
        multi_label: whether the model answers several labels of each row.

    Raises:
        UnsupportedLayerError: if the model takes other arguments, returns anything but one tensor, or has control flow
            that depends on values of tensors.
    """
    graph, roles = _traced_as_read(model, given)
    for name in always_on(graph):
        _logger.warning("%s has training=True, and so is never off: it is taken as one of training only", name)
    graph = _with_training(graph, model, roles, given)
    last = final_probabilities(graph, model, multi_label=multi_label)
    if last is not None:
        _logger.info("the %s at the end of the model is left out: the network gives its logits", last.name)
        last.replace_all_uses_with(last.args[0])  # type: ignore[arg-type]
    canonicalize(graph, model)
    _report_unused(graph, model)
    return graph


def _traced_as_read(model: nn.Module, given: set[str]) -> tuple[fx.Graph, Roles]:
    """Return the graph for the likeliest roles of the model's arguments that give one."""
    failure: UnsupportedLayerError | None = None
    for roles in readings(model, given):
        call = ModelCall(model, roles, {"x", "edge_index", *given})
        try:
            return _traced(call), roles
        except UnsupportedLayerError as error:
            if failure is None or (call.data is None or call.data.was_read):
                failure = error
            if call.data is not None and call.data.was_read and "data" in roles.values():
                break
    assert failure is not None
    raise failure


def _traced(call: ModelCall) -> fx.Graph:
    tracer = _Tracer()
    try:
        with _recorded():
            return tracer.trace(call)
    except UnsupportedLayerError:
        raise
    except Exception as error:  # the model's own code ran on symbols and can raise any exception
        where = next(reversed(tracer.module_stack.values()))[0] if tracer.module_stack else ""
        reason = first_line(error)
        raise UnsupportedLayerError(
            f"{_described(where)} cannot be followed ({reason}): what a model computes may depend on its attributes, "
            f"not on values or shapes of tensors; decide in __init__"
        ) from error


def _with_training(graph: fx.Graph, model: nn.Module, roles: Roles, given: set[str]) -> fx.Graph:
    """Return the graph with the dropout of training."""
    try:
        model.train()
        trained = _traced(ModelCall(model, roles, {"x", "edge_index", *given}))
    except UnsupportedLayerError:
        trained = None
    finally:
        model.eval()
    if trained is not None and same_but_dropout(trained, graph):
        return trained
    _logger.warning(
        "in training the model's forward computes something else than in evaluation: the network trains what it "
        "computes in evaluation, with its dropout"
    )
    apply_dropout(graph)
    return graph


def _described(path: str) -> str:
    return f"the forward of layer {path!r}" if path else "the model's forward"


def _report_unused(graph: fx.Graph, model: nn.Module) -> None:
    """Name the layers with parameters that no call uses."""
    calls = [str(node.target).removeprefix("model.") for node in graph.nodes if node.op in ("call_module", "get_attr")]
    names = [name for name, _ in model.named_parameters()]
    used = [name for name in names if any(not path or f"{name}.".startswith(f"{path}.") for path in calls)]
    unused = dict.fromkeys(_unused_part(name, used) for name in names if name not in used)
    if unused:
        _logger.warning("forward never uses the weights of %s: they are left out", ", ".join(map(repr, unused)))


def _unused_part(name: str, used: list[str]) -> str:
    """Return the path of the greatest part of a model that holds a parameter and nothing that is used."""
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next(prefix for prefix in prefixes if not any(other.startswith(f"{prefix}.") for other in used))


class _Symbol(fx.Proxy):
    """Symbol of a matrix, or of a value that was computed from one."""

    def __iadd__(self, other: Any) -> Any:
        return self._in_place("add_", other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place("sub_", other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place("mul_", other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place("div_", other)

    def _in_place(self, method: str, other: Any) -> Any:
        return self.tracer.create_proxy("call_method", method, (self, other), {})

    is_sparse = False

    def dim(self) -> int:
        return 2


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Symbol(node, self)

    def path_of_module(self, mod: nn.Module) -> str:
        return super().path_of_module(mod).removeprefix("model").removeprefix(".")

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _COMPOSITE):
            return False
        bases = {base.__module__.partition(".")[0] for base in type(m).__mro__ if issubclass(base, nn.Module)}
        own = type(m).__module__.partition(".")[0]
        # A user's subclass of a library's message passing cannot be traced: it ends in scatters of edges.
        return own in ("torch", "torch_geometric") or "torch_geometric" in bases

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if type(m) is GINConv:
            network: Any = m.nn
            return network(result)
        return result


@contextmanager
def _recorded() -> Iterator[None]:
    """Make functions traceable that read values: pooling, and functions of graphs wherever they are imported."""

    def pool(src: Any, index: Any, dim: int = 0, dim_size: int | None = None, reduce: str = "sum") -> Any:
        if not isinstance(src, fx.Proxy):
            return scatter(src, index, dim, dim_size, reduce)
        return src.tracer.create_proxy("call_function", _POOLS[reduce], (src, index, dim_size), {})

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return nn.Module.__call__(module, *args, **kwargs)

    replaced: list[tuple[Any, str, Any, Any]] = [
        (glob, "scatter", glob.scatter, pool),
        (Aggregation, "__call__", Aggregation.__call__, call),
    ]
    recorders = {function: _recorder(function) for function in GRAPH_FUNCTIONS}
    for module in [module for module in list(sys.modules.values()) if _may_call(module)]:
        for name, value in list(vars(module).items()):
            if isinstance(value, _FUNCTION) and value in recorders:
                replaced.append((module, name, value, recorders[value]))
    for holder, name, _, value in replaced:
        setattr(holder, name, value)
    try:
        yield
    finally:
        for holder, name, value, _ in replaced:
            setattr(holder, name, value)


_FUNCTION = type(trace)


def _may_call(module: Any) -> bool:
    """Return whether a user's model may call functions through the names of a module."""
    name = getattr(module, "__name__", None) or ""
    is_inner = name.startswith(("torch.", "mixq_rl.")) or (name.startswith("torch_geometric.") and name not in _OPEN)
    return type(module) is type(sys) and not is_inner


_OPEN = ("torch_geometric.utils", "torch_geometric.nn.conv.gcn_conv")


def _recorder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that records a call with symbols, and makes any other call."""

    def recorded(*args: Any, **kwargs: Any) -> Any:
        symbol = next((value for value in (*args, *kwargs.values()) if isinstance(value, fx.Proxy)), None)
        if symbol is None:
            return function(*args, **kwargs)
        result: Any = symbol.tracer.create_proxy("call_function", function, args, kwargs)
        count = number_of_results(function, args, kwargs)
        return tuple(result[index] for index in range(count)) if count else result

    return recorded
