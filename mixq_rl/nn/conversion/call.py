"""Calls of layers and functions in a traced model, the arguments of converters."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch_geometric.nn import BatchNorm

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.edges import Transforms, is_of_graph, read_index, read_weight, without_weights
from mixq_rl.nn.conversion.sizes import is_one_each

__all__ = ["RELU", "Call", "Made", "batch_norm", "describe", "is_called"]

Made = tuple[nn.Module, tuple[fx.Node, ...]]
"""A quantizable layer, and whose results it takes."""

_RELU_FUNCTIONS = (torch.relu, torch.relu_, functional.relu, functional.relu_)
RELU: tuple[Callable[..., Any] | str, ...] = (*_RELU_FUNCTIONS, "relu", "relu_")
_GRAPH = ("edge_index", "edge_weight", "batch")


class Call:
    """Call of a layer or function in a traced model.

    Args:
        node: the node of the traced graph.
        model: the traced model.
        name: prefix of the names of the call's components.
        is_shared: whether the layer is called more than once.

    Attributes:
        transforms: changes of the model's edges, before the layer sums over them.
        merged: this call and the calls that were merged into it, in order; the last gives the result.
    """

    def __init__(self, node: fx.Node, model: nn.Module, name: str, *, is_shared: bool = False) -> None:
        self.node = node
        self.model = model
        self.name = name
        self.is_shared = is_shared
        self.transforms: Transforms = ()
        self._indices: Transforms = ()
        self.merged = [node]

    def refusal(self, reason: str, remedy: str) -> UnsupportedLayerError:
        """Return an error that names the call, its fault (a phrase that begins with a verb) and a remedy."""
        return UnsupportedLayerError(f"{describe(self.node, self.model)} {reason}: {remedy}")

    def require(self, option: str, value: Any, supported: Collection[Any], remedy: str) -> None:
        """Check an option of the layer.

        Raises:
            UnsupportedLayerError: naming the option.
        """
        if value not in supported:
            raise self.refusal(f"has {option}={value!r}, which is not supported", remedy)

    def value(self, argument: Any) -> fx.Node:
        """Return an argument that is a matrix: the model's input, or a value that the model computed.

        Raises:
            UnsupportedLayerError: for any other argument.
        """
        is_node = isinstance(argument, fx.Node)
        if not is_node or (argument.op == "placeholder" and argument.target in _GRAPH) or is_of_graph(argument):
            what = _constant(argument) if not is_node else getattr(argument.target, "__name__", str(argument.target))
            raise self.refusal(f"takes {what} where features are expected", "give it x, or what a layer made of x")
        return argument

    def check_graph(self, edge_index: Any) -> None:
        """Check that a layer sums over the edges of the model's input, or over what graph functions made of them.

        Raises:
            UnsupportedLayerError: if it does not.
        """
        transforms = read_index(edge_index)
        if transforms is None:
            raise self._strange("edge_index")
        self._indices = transforms
        self.transforms = without_weights(transforms)

    def is_weighted(self, edge_weight: Any) -> bool:
        """Return whether a layer takes the weights of its edges, and check that it takes no others.

        Call it after :meth:`check_graph`.

        Raises:
            UnsupportedLayerError: if it takes other edge weights.
        """
        if is_one_each(edge_weight) and not self._indices and not getattr(self._own(), "improved", False):
            return False
        try:
            transforms = read_weight(edge_weight)
        except ValueError:
            raise self._strange("edge_weight") from None
        if transforms is None:
            return False
        if transforms != self._indices:
            raise self.refusal(
                "takes weights of other edges than its edge_index", "hand it edge_index and weights of one function"
            )
        self.transforms = transforms
        return True

    def check_batch(self, batch: Any) -> None:
        """Check that a pooling uses the batch vector of the model's input.

        Raises:
            UnsupportedLayerError: if it does not.
        """
        self._check_role(batch, "batch")

    def _check_role(self, argument: Any, role: str) -> None:
        if not isinstance(argument, fx.Node) or argument.op != "placeholder" or argument.target != role:
            raise self._strange(role)

    def _strange(self, role: str) -> UnsupportedLayerError:
        return self.refusal(
            f"takes another {role} than the model is given", f"let the model's forward take {role}, and hand it on"
        )

    def following_norm(self) -> nn.BatchNorm1d | None:
        """Return the batch normalisation that only this call's result goes through, and merge it into the call.

        A layer that is called more than once gets none: its weight would have to be another one for each call.
        """
        if self.is_shared:
            return None
        follower = self._follower()
        norm = None if follower is None or follower.op != "call_module" else self._module(follower)
        found = None if norm is None else batch_norm(norm)
        if found is not None and follower is not None:
            self.merged.append(follower)
        return found

    def following_relu(self) -> bool:
        """Return whether this call's result goes only through a ReLU, and merge the ReLU into the call."""
        follower = self._follower()
        if follower is None:
            return False
        module = self._module(follower) if follower.op == "call_module" else None
        if type(module) is nn.ReLU or is_called(follower, RELU):
            self.merged.append(follower)
            return True
        return False

    def _own(self) -> nn.Module | None:
        return self._module(self.node) if self.node.op == "call_module" else None

    def _follower(self) -> fx.Node | None:
        users = list(self.merged[-1].users)
        return users[0] if len(users) == 1 else None

    def _module(self, node: fx.Node) -> nn.Module:
        return self.model.get_submodule(str(node.target))


def _constant(argument: Any) -> str:
    if isinstance(argument, tuple | list):
        return "several values"
    return f"the constant {argument}" if isinstance(argument, int | float) else "a constant"


def is_called(node: fx.Node, functions: Collection[Any]) -> bool:
    """Return whether a node calls one of these functions or methods, and not a module of the same name."""
    return node.op in ("call_function", "call_method") and node.target in functions


def batch_norm(module: nn.Module) -> nn.BatchNorm1d | None:
    """Return the batch normalisation that a module contains, if it can be executed on integers."""
    norm: Any = module.module if type(module) is BatchNorm and not module.allow_single_element else module
    return norm if type(norm) is nn.BatchNorm1d and norm.running_mean is not None else None


def describe(node: fx.Node, model: nn.Module) -> str:
    """Return a description of a call: the called layer or function, and its path in the model."""
    if node.op == "call_module":
        path = str(node.target)
        kind = type(model.get_submodule(path)).__name__
        return f"layer {path!r} ({kind})" if path else f"the model ({kind})"
    if node.op == "get_attr":
        path = str(node.target).removeprefix("model.")
        return "a tensor made in forward" if path.startswith("_tensor_constant") else f"tensor {path!r}"
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    where = f"the forward of layer {stack[-1]!r}" if stack else "the model's forward"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"function {name!r} in {where}"
