"""Converters of activations: modules, functions and methods."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mixq_rl.nn.activations import Activation
from mixq_rl.nn.addition import Add
from mixq_rl.nn.conversion.call import RELU, Call, Made

__all__ = ["ACTIVATIONS", "convert_activation", "convert_relu", "functional_activation"]

ACTIVATIONS: dict[type[nn.Module], tuple[Callable[..., Any] | str, ...]] = {
    nn.ReLU: RELU,
    nn.ReLU6: (functional.relu6,),
    nn.ELU: (functional.elu, functional.elu_),
    nn.CELU: (functional.celu, torch.celu),
    nn.SELU: (functional.selu, torch.selu),
    nn.LeakyReLU: (functional.leaky_relu, functional.leaky_relu_),
    nn.GELU: (functional.gelu,),
    nn.SiLU: (functional.silu,),
    nn.Mish: (functional.mish,),
    nn.Tanh: (torch.tanh, functional.tanh, "tanh", "tanh_"),
    nn.Sigmoid: (torch.sigmoid, functional.sigmoid, "sigmoid", "sigmoid_"),
    nn.LogSigmoid: (functional.logsigmoid,),
    nn.Softplus: (functional.softplus,),
    nn.Softsign: (functional.softsign,),
    nn.Hardtanh: (functional.hardtanh,),
    nn.Hardsigmoid: (functional.hardsigmoid,),
    nn.Hardswish: (functional.hardswish,),
}
"""Activations by lookup table: the module, and the functions and methods that do as it does."""


def convert_relu(call: Call, x: Any) -> Made:
    """Convert a ReLU that could not be merged into the layer before it."""
    return Add(f"{call.name}.update", relu=True), (call.value(x),)


def convert_activation(call: Call, module: nn.Module, input: Any) -> Made:  # noqa: A002  torch's name
    """Convert an activation that is a module."""
    if type(module) is nn.ReLU:
        return convert_relu(call, input)
    if hasattr(module, "inplace"):
        module.inplace = False  # type: ignore[assignment]
    return Activation(module, f"{call.name}.update"), (call.value(input),)


def functional_activation(kind: type[nn.Module]) -> Callable[..., Made]:
    """Return a converter of functions that compute the same as a class of modules."""

    def convert(call: Call, input: Any, *args: Any, inplace: bool = False, **kwargs: Any) -> Made:  # noqa: A002
        return convert_activation(call, kind(*args, **kwargs), input)

    return convert
