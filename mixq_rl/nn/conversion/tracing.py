"""Tracing: a float model as a graph of the layers and functions that it calls."""

import inspect
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from torch import fx, nn
from torch_geometric.nn import Aggregation, GINConv
from torch_geometric.nn import Sequential as GraphSequential
from torch_geometric.nn.models import MLP
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.nn.pool import glob
from torch_geometric.utils import scatter

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.canonical import canonicalize

__all__ = ["trace"]

_ROLES = ("x", "edge_index", "edge_weight", "batch")
_POOLS = {"sum": glob.global_add_pool, "mean": glob.global_mean_pool, "max": glob.global_max_pool}
_COMPOSITE = (nn.Sequential, fx.GraphModule, GraphSequential, BasicGNN, MLP)


def trace(model: nn.Module, *, weighted: bool, pooled: bool) -> fx.Graph:
    """Return the graph of the calls that a model makes.

    The placeholders of the graph are ``x``, ``edge_index``, ``edge_weight`` and ``batch``, also if the model gives its
    arguments other names. A module of a library is one call. The trace enters modules that users have written. It
    enters a ``GINConv`` too: one call stands for the sum, and the layers of its network follow.

    Args:
        model: a model in evaluation mode.
        weighted: whether the model gets an optional argument ``edge_weight``.
        pooled: whether the model gets an optional argument ``batch``.

    Raises:
        UnsupportedLayerError: if the model takes other arguments, returns anything but one tensor, or has control flow
            that depends on values of tensors.
    """
    tracer = _Tracer()
    given = {name for name, is_given in (("edge_weight", weighted), ("batch", pooled)) if is_given}
    try:
        with _recorded():
            graph = tracer.trace(_Call(model, _roles(model, given), given))
    except UnsupportedLayerError:
        raise
    except Exception as error:  # the model's own code ran on symbols and can raise any exception
        where = next(reversed(tracer.module_stack.values()))[0] if tracer.module_stack else ""
        raise UnsupportedLayerError(
            f"{_described(where)} cannot be followed ({error}): what a model computes may depend on its attributes, "
            f"not on values or shapes of tensors; decide in __init__"
        ) from error
    canonicalize(graph, model)
    return graph


def _described(path: str) -> str:
    return f"the forward of layer {path!r}" if path else "the model's forward"


class _Call(nn.Module):
    """Call of a model with symbols for the inputs."""

    def __init__(self, model: nn.Module, roles: dict[str, str], optional: set[str]) -> None:
        super().__init__()
        self.model = model
        self.roles = roles
        self.optional = optional

    def forward(self, x: Any, edge_index: Any, edge_weight: Any, batch: Any) -> Any:
        given = {"x": x, "edge_index": edge_index, "edge_weight": edge_weight, "batch": batch}
        data = {name: given[name] if name in ("x", "edge_index", *self.optional) else None for name in given}
        given["data"] = SimpleNamespace(**data)
        return self.model(**{name: given[role] for name, role in self.roles.items()})


def _roles(model: nn.Module, optional: set[str]) -> dict[str, str]:
    """Return the role of each argument of the model: which input it gets."""
    parameters = _parameters(model)
    if parameters and parameters[0].name == "data":
        roles = {"data": "data"}
    else:
        roles = {parameter.name: parameter.name for parameter in parameters if parameter.name in _ROLES}
        for role, parameter in zip(_ROLES[:2], parameters, strict=False):
            unnamed = role not in roles.values() and parameter.name not in roles
            if unnamed and parameter.default is parameter.empty and not parameter.name.startswith("adj"):
                roles[parameter.name] = role
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    unknown = [name for name in required if name not in roles]
    if unknown:
        raise UnsupportedLayerError(
            f"the model's forward takes {unknown[0]!r}: of a graph it can be given x, edge_index, edge_weight and "
            f"batch, or all of them as data; give other arguments a default"
        )
    if not {"x", "data"} & set(roles.values()):
        raise UnsupportedLayerError("the model's forward takes no features: let x be its first argument")
    given = {"x", "edge_index", "data", *optional}
    return {name: role for name, role in roles.items() if role in given or name in required}


def _parameters(model: nn.Module) -> list[inspect.Parameter]:
    if isinstance(model, GraphSequential):  # its signature does not always list its arguments, but its header does
        return [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in model.signature.param_dict]
    parameters = inspect.signature(model.forward).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind not in variadic]


class _Symbol(fx.Proxy):
    """Symbol of a matrix, or of a value that was computed from one."""

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

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
    """Make pooling traceable: functions scatter by the batch vector, and modules read it before their call."""

    def pool(src: Any, index: Any, dim: int = 0, dim_size: int | None = None, reduce: str = "sum") -> Any:
        if not isinstance(src, fx.Proxy):
            return scatter(src, index, dim, dim_size, reduce)
        return src.tracer.create_proxy("call_function", _POOLS[reduce], (src, index, dim_size), {})

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return nn.Module.__call__(module, *args, **kwargs)

    before = glob.scatter, Aggregation.__call__
    glob.scatter, Aggregation.__call__ = pool, call
    try:
        yield
    finally:
        glob.scatter, Aggregation.__call__ = before
