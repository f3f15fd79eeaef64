"""Converters of PyTorch Geometric's message passing layers."""

from typing import Any

import torch
from torch import nn

from mixq_rl.nn.appnp import APPNP
from mixq_rl.nn.cluster_gcn import ClusterGCNConv
from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.parameters import carry_over, carry_over_weight
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.gatv2 import GATv2Conv
from mixq_rl.nn.gcn import GCNConv
from mixq_rl.nn.gin import GINConv
from mixq_rl.nn.graph_conv import GraphConv
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Chain
from mixq_rl.nn.propagation import Propagate
from mixq_rl.nn.rooted import Aggregation, RootedConv
from mixq_rl.nn.sage import SAGEConv
from mixq_rl.nn.tag import TAGConv
from mixq_rl.propagation import Propagation

__all__ = [
    "convert_appnp",
    "convert_cluster_gcn",
    "convert_gat",
    "convert_gatv2",
    "convert_gcn",
    "convert_gin",
    "convert_graph_conv",
    "convert_sage",
    "convert_sgc",
    "convert_tag",
]

_SUMS = ("add", "sum")
_AGGREGATIONS: dict[str, Aggregation] = {"mean": "mean", "add": "sum", "sum": "sum", "max": "max"}


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


def convert_appnp(call: Call, conv: Any, x: Any, edge_index: Any, edge_weight: Any = None) -> Made:
    """Convert an ``APPNP``."""
    _check(call, conv, edge_index)
    if conv.K < 1:
        raise call.refusal(f"has K={conv.K}, which is not supported", "leave it out: it changes nothing")
    if not 0 <= conv.alpha <= 1:
        raise call.refusal(f"has alpha={conv.alpha}, which is no probability", "choose 0 <= alpha <= 1")
    call.require("dropout", conv.dropout, (0,), "use 0, and Dropout before the layer")
    layer = APPNP(
        name=call.name,
        hops=conv.K,
        teleport=conv.alpha,
        relu=call.following_relu(),
        propagation=_normalized(call, edge_weight, normalize=conv.normalize, self_loops=conv.add_self_loops),
    )
    return layer, (call.value(x),)


def convert_sgc(call: Call, conv: Any, x: Any, edge_index: Any, edge_weight: Any = None) -> Made:
    """Convert an ``SGConv``: the product first, which is the same, then the sums over neighbours."""
    _check(call, conv, edge_index)
    if conv.K < 1:
        raise call.refusal(f"has K={conv.K}, which is not supported", "a Linear layer does the same")
    propagation = _normalized(call, edge_weight, normalize=True, self_loops=conv.add_self_loops)
    out_channels, in_channels = conv.lin.weight.shape
    relu = call.following_relu()
    names = (f"{call.name}.weight", f"{call.name}.message")
    linear = Linear(in_channels, out_channels, names=names, kind="message", bias=False)
    sums = [
        Propagate(
            propagation,
            adjacency=f"{call.name}.adjacency_{hop}",
            aggregate=f"{call.name}.aggregate_{hop}",
            relu=relu and hop == conv.K,
        )
        for hop in range(1, conv.K + 1)
    ]
    carry_over_weight(linear, conv.lin.weight)
    carry_over(sums[-1], "bias", conv.lin.bias)
    return Chain(linear, *sums), (call.value(x),)


def _normalized(call: Call, edge_weight: Any, *, normalize: bool, self_loops: bool) -> Propagation:
    """Return the propagation of a layer that normalizes as a ``GCNConv`` does, or not at all."""
    return Propagation(
        normalization="symmetric" if normalize else "none",
        self_loops="remaining" if normalize and self_loops else "keep",
        weighted=call.is_weighted(edge_weight),
    )


def convert_sage(call: Call, conv: Any, x: Any, edge_index: Any) -> Made:
    """Convert a ``SAGEConv``."""
    _check(call, conv, edge_index, aggr=tuple(_AGGREGATIONS))
    call.require("project", conv.project, (False,), "call a Linear layer and ReLU before the layer")
    call.require("normalize", conv.normalize, (False,), "let a BatchNorm follow the layer")
    layer = SAGEConv(
        conv.lin_l.weight.shape[1],
        conv.out_channels,
        name=call.name,
        aggregation=_AGGREGATIONS[conv.aggr],
        root_weight=conv.root_weight,
        relu=call.following_relu(),
        bias=conv.lin_l.bias is not None,
    )
    return _rooted(layer, conv.lin_l, conv.lin_r if conv.root_weight else None), (call.value(x),)


def convert_graph_conv(call: Call, conv: Any, x: Any, edge_index: Any, edge_weight: Any = None) -> Made:
    """Convert a ``GraphConv``."""
    _check(call, conv, edge_index, aggr=tuple(_AGGREGATIONS))
    weighted = call.is_weighted(edge_weight)
    if weighted and conv.aggr == "max":
        raise call.refusal("has aggr='max' with edge weights, which is not supported", "use aggr='add' or 'mean'")
    layer = GraphConv(
        conv.lin_rel.weight.shape[1],
        conv.out_channels,
        name=call.name,
        aggregation=_AGGREGATIONS[conv.aggr],
        weighted=weighted,
        relu=call.following_relu(),
        bias=conv.lin_rel.bias is not None,
    )
    return _rooted(layer, conv.lin_rel, conv.lin_root), (call.value(x),)


def convert_cluster_gcn(call: Call, conv: Any, x: Any, edge_index: Any) -> Made:
    """Convert a ``ClusterGCNConv``."""
    _check(call, conv, edge_index)
    call.require("add_self_loops", conv.add_self_loops, (True,), "use True: PyTorch Geometric's layer fails without")
    layer = ClusterGCNConv(
        conv.in_channels,
        conv.out_channels,
        name=call.name,
        diagonal=conv.diag_lambda,
        relu=call.following_relu(),
        bias=conv.lin_out.bias is not None,
    )
    return _rooted(layer, conv.lin_out, conv.lin_root), (call.value(x),)


def _rooted(layer: RootedConv, neighbours: Any, root: Any) -> RootedConv:
    """Give a layer the parameters of the two linear layers of the original, and return it."""
    carry_over_weight(layer.linear, neighbours.weight)
    carry_over(layer.last, "bias", neighbours.bias)
    if layer.root is not None:
        carry_over_weight(layer.root, root.weight)
    return layer


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
    _check_attention(call, conv, edge_index, edge_attr)
    if conv.lin is None:
        raise call.refusal(f"has in_channels={conv.in_channels}, which is not supported", _ONE_KIND)
    layer = GATConv(
        conv.lin.weight.shape[1], conv.out_channels, relu=call.following_relu(), **_attention_options(call, conv)
    )
    carry_over_weight(layer.linear, conv.lin.weight)
    vectors = torch.cat([conv.att_src[0], conv.att_dst[0]])
    carry_over(layer.score, "weight", vectors.t().contiguous(), learned=conv.att_src.requires_grad)
    carry_over(layer.attend, "bias", conv.bias)
    return layer, (call.value(x),)


def convert_gatv2(call: Call, conv: Any, x: Any, edge_index: Any, edge_attr: Any = None) -> Made:
    """Convert a ``GATv2Conv``."""
    _check_attention(call, conv, edge_index, edge_attr)
    layer = GATv2Conv(
        conv.lin_l.weight.shape[1],
        conv.out_channels,
        share_weights=conv.share_weights,
        relu=call.following_relu(),
        **_attention_options(call, conv),
    )
    for own, original in ((layer.linear, conv.lin_l), (layer.target, conv.lin_r)):
        if own is not None:
            carry_over_weight(own, original.weight)
            carry_over(own, "bias", original.bias)
    carry_over(layer.attend.logits, "weight", conv.att[0].t().contiguous(), learned=conv.att.requires_grad)
    carry_over(layer.attend, "bias", conv.bias)
    return layer, (call.value(x),)


_ONE_KIND = "give it one number: all nodes are alike"
_NO_EDGE_FEATURES = "leave the edges' features out, or encode them in x"


def _attention_options(call: Call, conv: Any) -> dict[str, Any]:
    """Return the options that layers of attention have in common with the original."""
    options = {name: getattr(conv, name) for name in ("heads", "concat", "negative_slope", "dropout")}
    return {"name": call.name, "bias": conv.bias is not None, **options}


def _check_attention(call: Call, conv: Any, edge_index: Any, edge_attr: Any) -> None:
    """Check the options that layers of attention have."""
    _check(call, conv, edge_index)
    call.require("add_self_loops", conv.add_self_loops, (True,), "use True: a node attends to itself too")
    call.require("edge_dim", conv.edge_dim, (None,), _NO_EDGE_FEATURES)
    call.require("edge_attr", edge_attr, (None,), _NO_EDGE_FEATURES)
    call.require("residual", conv.residual, (False,), "add the result of a Linear layer to the layer's")
