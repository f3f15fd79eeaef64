"""Converters of layers of torch and PyTorch Geometric."""

from collections.abc import Callable
from typing import Any

import torch_geometric.nn as pyg
from torch import nn

from mixq_rl.nn.addition import Add
from mixq_rl.nn.conversion import convs
from mixq_rl.nn.conversion.activations import ACTIVATIONS, convert_activation
from mixq_rl.nn.conversion.call import Call, Made, batch_norm
from mixq_rl.nn.conversion.functions import concatenation, dropout, maximum, pooling
from mixq_rl.nn.conversion.norms import convert_graph_layer_norm, convert_layer_norm
from mixq_rl.nn.conversion.parameters import carry_over, carry_over_weight
from mixq_rl.nn.linear import Linear

__all__ = ["MODULES"]


def _linear(call: Call, module: Any, x: Any) -> Made:
    out_channels, in_channels = module.weight.shape
    norm = call.following_norm()
    layer = Linear(
        in_channels,
        out_channels,
        names=(f"{call.name}.weight", f"{call.name}.output"),
        bias=module.bias is not None,
        relu=call.following_relu(),
    )
    layer.norm = norm  # not by the constructor, which would draw new random parameters
    carry_over_weight(layer, module.weight)
    carry_over(layer, "bias", module.bias)
    return layer, (call.value(x),)


def _batch_norm(call: Call, module: Any, x: Any) -> Made:
    norm = batch_norm(module)
    if norm is None and getattr(module, "allow_single_element", False):
        raise call.refusal("has allow_single_element=True, which is not supported", "leave it out")
    if norm is None:
        raise call.refusal(
            "has track_running_stats=False, which is not supported", "integers need statistics: let it track them"
        )
    return Add(f"{call.name}.update", norm=norm, relu=call.following_relu()), (call.value(x),)


def _dropout(call: Call, module: Any, x: Any) -> Made:
    return dropout(call, x, module.p)


def _jumping_knowledge(call: Call, module: Any, xs: Any) -> Made:
    call.require("mode", module.mode, ("cat", "max"), "use 'cat' or 'max'")
    return concatenation(call, xs) if module.mode == "cat" else maximum(call, *xs)


def _pool(reduce: str) -> Callable[..., Made]:
    def convert(call: Call, module: Any, x: Any, index: Any = None) -> Made:
        return pooling(call, x, index, reduce)

    return convert


MODULES: dict[type[nn.Module], Callable[..., Made]] = {
    pyg.GCNConv: convs.convert_gcn,
    pyg.SAGEConv: convs.convert_sage,
    pyg.GINConv: convs.convert_gin,
    pyg.GATConv: convs.convert_gat,
    pyg.GATv2Conv: convs.convert_gatv2,
    pyg.TAGConv: convs.convert_tag,
    pyg.GraphConv: convs.convert_graph_conv,
    pyg.ClusterGCNConv: convs.convert_cluster_gcn,
    pyg.APPNP: convs.convert_appnp,
    pyg.SGConv: convs.convert_sgc,
    nn.Linear: _linear,
    pyg.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    pyg.BatchNorm: _batch_norm,
    nn.LayerNorm: convert_layer_norm,
    pyg.LayerNorm: convert_graph_layer_norm,
    nn.Dropout: _dropout,
    pyg.JumpingKnowledge: _jumping_knowledge,
    pyg.SumAggregation: _pool("sum"),
    pyg.MeanAggregation: _pool("mean"),
    pyg.MaxAggregation: _pool("max"),
    **dict.fromkeys(ACTIVATIONS, convert_activation),
}
"""Converters by the type of the layer. A subclass may compute something else, and has none."""
