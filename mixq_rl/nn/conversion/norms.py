"""Converters of normalisations."""

from typing import Any

from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.parameters import carry_over
from mixq_rl.nn.layer_norm import LayerNorm

__all__ = ["convert_graph_layer_norm", "convert_layer_norm"]


def convert_layer_norm(call: Call, module: Any, input: Any) -> Made:  # noqa: A002  torch's name
    """Convert a ``LayerNorm`` of torch."""
    shape = tuple(module.normalized_shape)
    if len(shape) != 1:
        raise call.refusal(f"has normalized_shape={shape}, which is not supported", "give it the number of columns")
    return _layer_norm(call, module, shape[0], input)


def convert_graph_layer_norm(call: Call, module: Any, x: Any, batch: Any = None, batch_size: Any = None) -> Made:
    """Convert a ``LayerNorm`` of PyTorch Geometric that normalises each node; it does not use the batch."""
    remedy = "use mode='node', which normalises each node, or BatchNorm"
    call.require("mode", module.mode, ("node",), remedy)
    return _layer_norm(call, module, module.in_channels, x)


def _layer_norm(call: Call, module: Any, channels: int, x: Any) -> Made:
    layer = LayerNorm(
        channels,
        f"{call.name}.update",
        epsilon=module.eps,
        affine=module.weight is not None,
        bias=module.bias is not None,
        relu=call.following_relu(),
    )
    carry_over(layer, "weight", module.weight)
    carry_over(layer, "bias", module.bias)
    return layer, (call.value(x),)
