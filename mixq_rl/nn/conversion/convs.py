"""Converters of PyTorch Geometric's message passing layers."""

from typing import Any

import torch
from torch import nn

from mixq_rl.graph import Propagation
from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.parameters import carry_over, carry_over_weight
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.gcn import GCNConv
from mixq_rl.nn.gin import GINConv
from mixq_rl.nn.operator import Chain
from mixq_rl.nn.sage import SAGEConv
from mixq_rl.nn.tag import TAGConv

__all__ = ["convert_gat", "convert_gcn", "convert_gin", "convert_sage", "convert_tag"]

_SUMS = ("add", "sum")


def _check(call: Call, conv: Any, edge_index: Any, *, aggr: tuple[str, ...] = _SUMS) -> None:
    """Check the options that all message passing layers have."""
    call.require("aggr", conv.aggr, aggr, f"use aggr={aggr[0]!r}")
    call.require("flow", conv.flow, ("source_to_target",), "turn the edges round with edge_index.flip(0)")
    call.check_graph(edge_index)


def convert_gcn(call: Call, conv: Any, x: Any, edge_index: Any, edge_weight: Any = None) -> Made:
    """Convert a ``GCNConv``."""
    _check(call, conv, edge_index)
    weighted = call.is_weighted(edge_weight)
    layer = GCNConv(
        conv.lin.weight.shape[1],
        conv.out_channels,
        name=call.name,
        relu=call.following_relu(),
        bias=conv.bias is not None,
        propagation=Propagation(
            normalization="symmetric" if conv.normalize else "none",
            self_loops="remaining" if conv.add_self_loops else "keep",
            # Without edge weights PyTorch Geometric's self-loops have weight 1, improved or not.
            loop_weight=2.0 if conv.improved and weighted else 1.0,
            weighted=weighted,
        ),
    )
    carry_over_weight(layer.linear, conv.lin.weight)
    carry_over(layer.propagate, "bias", conv.bias)
    return layer, (call.value(x),)


def convert_tag(call: Call, conv: Any, x: Any, edge_index: Any, edge_weight: Any = None) -> Made:
    """Convert a ``TAGConv``."""
    _check(call, conv, edge_index)
    if conv.K < 1:
        raise call.refusal("has K=0, which is not supported", "a Linear layer does the same")
    layer = TAGConv(
        conv.lins[0].weight.shape[1],
        conv.out_channels,
        name=call.name,
        hops=conv.K,
        relu=call.following_relu(),
        bias=conv.bias is not None,
        propagation=Propagation(
            normalization="symmetric" if conv.normalize else "none", weighted=call.is_weighted(edge_weight)
        ),
    )
    hops: Any = layer.hops
    carry_over_weight(layer.highest, conv.lins[-1].weight)
    for (_, linear, _), original in zip(hops, reversed(conv.lins[:-1]), strict=True):
        carry_over_weight(linear, original.weight)
    carry_over(hops[-1][2], "bias", conv.bias)
    return layer, (call.value(x),)


def convert_sage(call: Call, conv: Any, x: Any, edge_index: Any) -> Made:
    """Convert a ``SAGEConv``."""
    _check(call, conv, edge_index, aggr=("mean", *_SUMS))
    call.require("project", conv.project, (False,), "call a Linear layer and ReLU before the layer")
    call.require("normalize", conv.normalize, (False,), "let a BatchNorm follow the layer")
    layer = SAGEConv(
        conv.lin_l.weight.shape[1],
        conv.out_channels,
        name=call.name,
        aggregation="mean" if conv.aggr == "mean" else "sum",
        root_weight=conv.root_weight,
        relu=call.following_relu(),
        bias=conv.lin_l.bias is not None,
    )
    carry_over_weight(layer.linear, conv.lin_l.weight)
    if layer.root is not None:
        carry_over_weight(layer.root, conv.lin_r.weight)
    carry_over(layer.propagate if layer.add is None else layer.add, "bias", conv.lin_l.bias)
    return layer, (call.value(x),)


def convert_gin(call: Call, conv: Any, x: Any, edge_index: Any) -> Made:
    """Convert the sum of a ``GINConv``; the layers of its network follow as calls of their own."""
    _check(call, conv, edge_index)
    layer = GINConv(
        Chain(), name=call.name, epsilon=float(conv.eps.detach()), train_epsilon=isinstance(conv.eps, nn.Parameter)
    )
    if layer.propagate.epsilon is not None:
        carry_over(layer.propagate, "epsilon", conv.eps)
    return layer, (call.value(x),)


def convert_gat(call: Call, conv: Any, x: Any, edge_index: Any, edge_attr: Any = None) -> Made:
    """Convert a ``GATConv``."""
    _check(call, conv, edge_index)
    if conv.lin is None:
        raise call.refusal(
            f"has in_channels={conv.in_channels}, which is not supported", "give it one number: all nodes are alike"
        )
    call.require("add_self_loops", conv.add_self_loops, (True,), "use True: a node attends to itself too")
    call.require("edge_dim", conv.edge_dim, (None,), "leave the edges' features out, or encode them in x")
    call.require("edge_attr", edge_attr, (None,), "leave the edges' features out, or encode them in x")
    call.require("residual", conv.residual, (False,), "add the result of a Linear layer to the layer's")
    layer = GATConv(
        conv.lin.weight.shape[1],
        conv.out_channels,
        name=call.name,
        heads=conv.heads,
        concat=conv.concat,
        negative_slope=conv.negative_slope,
        dropout=conv.dropout,
        relu=call.following_relu(),
        bias=conv.bias is not None,
    )
    carry_over_weight(layer.linear, conv.lin.weight)
    vectors = torch.cat([conv.att_src[0], conv.att_dst[0]])
    carry_over(layer.score, "weight", vectors.t().contiguous(), learned=conv.att_src.requires_grad)
    carry_over(layer.attend, "bias", conv.bias)
    return layer, (call.value(x),)
