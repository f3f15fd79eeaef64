"""Layers that are called several times: weights held once, and a scale of each call for all else."""

from torch import nn

from mixq_rl.quantization import LearnedQuantizer

__all__ = ["share"]


def share(layer: nn.Module, first: nn.Module) -> None:
    """Let a layer use the parameters and weight quantizers of another one, which was made of the same float layer.

    Results and adjacency keep quantizers of their own.
    """
    for path, module in first.named_modules():
        if isinstance(module, LearnedQuantizer):
            continue
        own = layer.get_submodule(path)
        for name, parameter in module.named_parameters(recurse=False):
            own.register_parameter(name, parameter)
        for name, child in module.named_children():
            if isinstance(child, LearnedQuantizer) and child.kind == "weight":
                own.add_module(name, child)
