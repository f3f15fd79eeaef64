"""Copies of users' models, ready to be traced: unwrapped, in float32, each weight a parameter of one layer."""

import copy
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from mixq_rl.errors import InputError, UnsupportedLayerError
from mixq_rl.printable import first_line

__all__ = ["HETEROGENEOUS", "copied", "layer"]

HETEROGENEOUS = "merge the types of nodes and edges by data.to_homogeneous(), and give a model of x and edge_index"
"""Remedy in the error for a model of several types of nodes."""

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_OF_TYPES = ("HeteroConv", "HeteroDictLinear", "HeteroLayerNorm", "HGTConv", "HANConv", "ToHeteroLinear")
_logger = logging.getLogger(__name__)


def copied(model: nn.Module) -> nn.Module:
    """Return a copy of a model in float32 and evaluation mode, without wrappers, hooks and computed weights.

    Wrappers of ``torch.compile`` and of data parallel training are left out. Weights that are computed (by weight
    norm, spectral norm, another parametrization, or pruning) become parameters with the values that they have.

    Raises:
        InputError: if ``model`` is no module.
        UnsupportedLayerError: for parts that cannot be copied or traced, such as TorchScript and forward hooks.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}: give a torch.nn.Module")
    model = _unwrapped(model)
    _check_kind(model)
    original = _deep_copy(model).eval()
    _fold(original)
    _check_hooks(original)
    _check_parameters(original)
    _convert_dtype(original)
    return original


def layer(path: str, module: nn.Module) -> str:
    """Return a description of a layer: its path in the model and its class."""
    return f"layer {path!r} ({type(module).__name__})" if path else f"the model ({type(module).__name__})"


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        if isinstance(module, _WRAPPERS):
            module = module.module
        elif type(module).__name__ == "OptimizedModule" and "_orig_mod" in module._modules:
            module = module._orig_mod  # type: ignore[assignment]
        else:
            return module


def _check_kind(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedLayerError(
                f"{layer(path, module)} is TorchScript, which cannot be traced: give the Python model it was made from"
            )
        by_type = isinstance(module, fx.GraphModule) and any(
            getattr(node.target, "__name__", "") == "get_dict" for node in module.graph.nodes
        )
        if by_type or type(module).__name__ in _OF_TYPES:
            raise UnsupportedLayerError(f"{layer(path, module)} is for graphs of several types: {HETEROGENEOUS}")


def _deep_copy(model: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {}
    modules = list(model.modules())
    for module in modules:
        # torch copies no tensor that an operation computed, such as the weight of weight_norm or a kept result.
        computed = (value for value in _tensors(vars(module).values()) if value.grad_fn is not None)
        memo |= {id(tensor): tensor.detach().clone() for tensor in computed}
    for module in reversed(modules):  # inner wrappers first
        inner = _unwrapped(module)
        if inner is not module:
            memo[id(module)] = copy.deepcopy(inner, memo)
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:  # attributes of any class, with a __deepcopy__ of any kind
        raise UnsupportedLayerError(f"{_uncopied(model)} ({first_line(error)}): leave it out of the model") from error


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list | tuple):
            yield from _tensors(value.values() if isinstance(value, dict) else value)


def _uncopied(model: nn.Module) -> str:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            try:
                copy.deepcopy(value, {}) if name not in ("_modules", "_parameters", "_buffers") else None
            except Exception:  # as above
                return f"attribute {name!r} of {layer(path, module)} cannot be copied"
    return "the model cannot be copied"


def _fold(model: nn.Module) -> None:
    pruned = []
    for path, module in list(model.named_modules()):
        if parametrize.is_parametrized(module):
            _fold_parametrizations(module)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                learned = getattr(module, f"{hook.name}_v").requires_grad
                remove_weight_norm(module, hook.name)
                getattr(module, hook.name).requires_grad_(learned)
            elif isinstance(hook, SpectralNorm):
                learned = getattr(module, f"{hook.name}_orig").requires_grad
                remove_spectral_norm(module, hook.name)
                getattr(module, hook.name).requires_grad_(learned)
            elif isinstance(hook, prune.BasePruningMethod):
                pruned.append(path)
                prune.remove(module, hook._tensor_name)
    if pruned:
        names = ", ".join(map(repr, dict.fromkeys(pruned)))
        _logger.warning("pruned weights of %s: they are 0 now, but training may change them", names)


def _fold_parametrizations(module: nn.Module) -> None:
    parts: Any = module.parametrizations
    values = {name: getattr(module, name).detach().clone() for name in parts}
    # Not by torch's remove_parametrizations, which changes the class that the user's model has too.
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    for name, value in values.items():
        originals = list(parts[name].parameters())
        if originals:
            learned = any(parameter.requires_grad for parameter in originals)
            module.register_parameter(name, nn.Parameter(value, requires_grad=learned))
        else:
            module.register_buffer(name, value)


def _check_hooks(model: nn.Module) -> None:
    """Check that calls compute what the classes of the layers say."""
    found = []
    for path, module in model.named_modules():
        if any(isinstance(parameter, nn.UninitializedParameter) for parameter in module.parameters(recurse=False)):
            continue  # its hook gives it weights
        if "forward" in vars(module):
            found.append(f"{layer(path, module)} has a forward of its own: make it a class with this forward")
        if any(hooks for name, hooks in vars(module).items() if "forward" in name and name.endswith("hooks")):
            found.append(f"{layer(path, module)} has forward hooks: remove them, or let a layer do what they do")
    if found:
        raise UnsupportedLayerError("\n".join(found))


def _check_parameters(model: nn.Module) -> None:
    owners: dict[int, str] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            where = f"{path}.{name}".removeprefix(".")
            if parameter.is_meta:
                raise UnsupportedLayerError(f"parameter {where!r} has no values (device meta): load the weights first")
            other = owners.setdefault(id(parameter), where)
            if other != where:
                raise UnsupportedLayerError(
                    f"parameters {other!r} and {where!r} are one tensor: call one layer twice instead, or copy the "
                    f"tensor; weights of two layers cannot be tied"
                )


def _convert_dtype(model: nn.Module) -> None:
    tensors = (*model.parameters(), *model.buffers())
    others = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} - {torch.float32}
    if others:
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in others))
        _logger.warning("the model is in %s: its copy is converted to float32", names)
        model.float()
