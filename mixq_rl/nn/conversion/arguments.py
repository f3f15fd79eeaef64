"""Arguments of a model's forward: which part of a graph each one stands for."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import Sequential as GraphSequential

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.originals import HETEROGENEOUS

__all__ = ["INPUTS", "Data", "ModelCall", "readings"]

INPUTS = ("x", "edge_index", "edge_weight", "batch")
"""What a network is given of a graph."""

_NAMES = {
    "x": ("x", "feat", "feats", "features", "node_features", "node_feat"),
    "edge_index": ("edge_index", "edges", "edge_list"),
    "edge_weight": ("edge_weight", "edge_weights"),
    "batch": ("batch", "batch_index", "batch_idx", "batch_vec"),
    "data": ("data", "graph", "g", "batch_data"),
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names}
_GIVEN = "of a graph it can be given x, edge_index, edge_weight and batch"

Roles = dict[str, str]
"""The input, or ``"data"``, by the name of the argument."""


class Data:
    """Stand-in for PyTorch Geometric's ``Data``, with the attributes that a network is given.

    Args:
        values: values by the names in :data:`INPUTS`; None for those that the graph lacks.

    Attributes:
        was_read: whether anything was read.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {**values, "edge_attr": values["edge_weight"]}
        self.was_read = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.was_read = True
        if name in self._values:
            return self._values[name]
        if name == "num_nodes":
            return self._values["x"].size(0)
        raise AttributeError(f"it reads {name!r} of the graph: {_GIVEN}")

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        self.was_read = True
        return self._values.get(str(name)) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or a default."""
        self.was_read = True
        value = self._values.get(name)
        return default if value is None else value

    def to(self, *args: Any, **kwargs: Any) -> "Data":
        """Return the data: they are where the model is."""
        return self


class ModelCall(nn.Module):
    """Call of a model with parts of a graph, or with symbols for them.

    Args:
        model: the model.
        roles: the input that each argument gets.
        given: inputs that the graph has; others are None.
    """

    def __init__(self, model: nn.Module, roles: Roles, given: set[str]) -> None:
        super().__init__()
        self.model = model
        self.roles = roles
        self.given = given
        self.data: Data | None = None

    def forward(self, x: Any, edge_index: Any, edge_weight: Any, batch: Any) -> Any:
        values = {"x": x, "edge_index": edge_index, "edge_weight": edge_weight, "batch": batch}
        held = {name: value if name in self.given else None for name, value in values.items()}
        self.data = Data(held)
        arguments = {name: self.data if role == "data" else values[role] for name, role in self.roles.items()}
        first = [
            arguments.pop(parameter.name)
            for parameter in _parameters(self.model)
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in arguments
        ]
        return self.model(*first, **arguments)


def readings(model: nn.Module, optional: set[str]) -> Iterator[Roles]:
    """Yield the possible roles of a forward's arguments, the likeliest first.

    Args:
        model: the model.
        optional: inputs beside x and edge_index that optional arguments get.

    Raises:
        UnsupportedLayerError: if the model takes other arguments.
    """
    parameters = _parameters(model)
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    for parameter in parameters:
        if "HeteroData" in _annotation(parameter) or parameter.name in ("x_dict", "edge_index_dict"):
            raise UnsupportedLayerError(
                f"the model's forward takes {parameter.name!r}, of a graph of several types: {HETEROGENEOUS}"
            )
    if len(required) == 1 and _may_be_data(required[0]):
        yield _roles(parameters, {required[0].name: "data"}, optional)
        if _ROLES.get(required[0].name) in ("data", "batch") or _is_data(required[0]):
            return
    named = {parameter.name: "data" for parameter in parameters[:1] if _is_data(parameter)}
    yield _roles(parameters, named, optional)


def _roles(parameters: list[inspect.Parameter], known: Roles, optional: set[str]) -> Roles:
    roles = dict(known)
    for parameter in parameters:
        role = _ROLES.get(parameter.name)
        if role in INPUTS and role not in roles.values() and parameter.name not in roles:
            roles[parameter.name] = role
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    if "data" not in roles.values():
        for role, parameter in zip(INPUTS[:2], parameters, strict=False):
            unnamed = role not in roles.values() and parameter.name not in roles
            if unnamed and parameter.name in required and not parameter.name.startswith("adj"):
                roles[parameter.name] = role
    if "edge_attr" in required and "edge_weight" not in roles.values():
        roles["edge_attr"] = "edge_weight"
    unknown = [name for name in required if name not in roles]
    if unknown:
        raise UnsupportedLayerError(
            f"the model's forward takes {unknown[0]!r}: {_GIVEN}, or all of them as data; "
            f"give other arguments a default"
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


def _annotation(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _is_data(parameter: inspect.Parameter) -> bool:
    is_class = _annotation(parameter).rpartition(".")[2] in ("Data", "Batch")
    return is_class or (parameter.name in _NAMES["data"] and parameter.annotation is not Tensor)


def _may_be_data(parameter: inspect.Parameter) -> bool:
    is_tensor = _annotation(parameter).rpartition(".")[2] == "Tensor"
    return _is_data(parameter) or not (is_tensor or parameter.name in _NAMES["x"])
