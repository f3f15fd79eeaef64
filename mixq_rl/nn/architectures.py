"""Architectures by name, and their registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.nn.activations import Activation
from mixq_rl.nn.appnp import APPNP
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.gatv2 import GATv2Conv
from mixq_rl.nn.gcn import GCNConv
from mixq_rl.nn.gin import GINConv
from mixq_rl.nn.graph_conv import GraphConv
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Chain
from mixq_rl.nn.pooling import mean_pool
from mixq_rl.nn.sage import SAGEConv
from mixq_rl.nn.tag import TAGConv
from mixq_rl.propagation import Propagation
from mixq_rl.registry import Registry

__all__ = ["Architecture", "models"]


class _MakeLayer(Protocol):
    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        last: bool,
        pooled: bool,
        weighted: bool,
        dropout: float,
    ) -> nn.Module: ...


@dataclass(frozen=True)
class Architecture:
    """Architecture of a network: its layers and default sizes.

    Attributes:
        layer: function that returns a layer. Its argument ``last`` says whether the layer gives the logits, ``pooled``
            whether graphs are classified.
        pool: function that returns the pooling of a graph task, from the name of its component.
        takes_weights: whether the layers use edge weights.
        hidden_channels: default width of the hidden layers.
        dropout: default dropout probability before every layer on node tasks.
        graph_layers: default number of layers on graph tasks.
        graph_hidden_channels: default width of the hidden layers on graph tasks.
        graph_dropout: default dropout probability between the last two layers on graph tasks.
    """

    layer: _MakeLayer
    pool: Callable[[str], nn.Module] = mean_pool
    takes_weights: bool = False
    hidden_channels: int = 128
    dropout: float = 0.5
    graph_layers: int = 4
    graph_hidden_channels: int = 64
    graph_dropout: float = 0.2


def _gcn(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    propagation = Propagation("symmetric", "remaining", weighted=weighted)
    return GCNConv(in_channels, out_channels, name=name, relu=not last, propagation=propagation)


def _sage(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    return SAGEConv(in_channels, out_channels, name=name, relu=not last)


def _tag(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    # Sums of magnitudes are degrees where weights are negative too, and the same where they are not.
    propagation = Propagation("absolute" if weighted else "symmetric", "keep", weighted=weighted)
    return TAGConv(in_channels, out_channels, name=name, relu=not last, propagation=propagation)


def _gin(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    hidden = in_channels if last else out_channels
    # Batch normalisation costs accuracy on one graph with few labels. On many graphs, training fails without it.
    first = Linear(
        in_channels,
        hidden,
        names=(f"{name}.weight_1", f"{name}.hidden"),
        kind="update",
        norm=nn.BatchNorm1d(hidden) if pooled else None,
        relu=True,
    )
    second = Linear(
        hidden,
        out_channels,
        names=(f"{name}.weight_2", f"{name}.update"),
        kind="update",
        norm=nn.BatchNorm1d(out_channels) if pooled else None,
        relu=not last,
    )
    # The sums of hubs would take the range of the integers for themselves, and training suffers from them too. The
    # graphs of graph tasks are small.
    return GINConv(Chain(first, second), name=name, normalization="none" if pooled else "root")


def _graph_conv(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    return GraphConv(in_channels, out_channels, name=name, weighted=weighted, relu=not last)


_HOPS, _GRAPH_HOPS = 10, 2


def _appnp(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    names = (f"{name}.weight", f"{name}.output")
    linear = Linear(in_channels, out_channels, names=names, relu=not last)
    if not (last or pooled):
        return linear
    propagation = Propagation("symmetric", "remaining", weighted=weighted)
    return Chain(linear, APPNP(name=name, hops=_HOPS if last else _GRAPH_HOPS, propagation=propagation))


_HEADS = 8


def _gat(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    return _attention(GATConv, in_channels, out_channels, name=name, last=last, pooled=pooled, dropout=dropout)


def _gatv2(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    return _attention(GATv2Conv, in_channels, out_channels, name=name, last=last, pooled=pooled, dropout=dropout)


def _attention(
    conv: type[GATConv | GATv2Conv],
    in_channels: int,
    out_channels: int,
    *,
    name: str,
    last: bool,
    pooled: bool,
    dropout: float,
) -> nn.Module:
    if last:
        return conv(in_channels, out_channels, name=name, concat=False, dropout=dropout)
    if out_channels % _HEADS:
        raise InputError(f"{out_channels} hidden channels of a gat: they are split among {_HEADS} heads")
    # ELU is nearly linear around 0. Of small features that sum to 0 over each graph, such as positional encodings, the
    # mean over the nodes would be nearly 0 too, and training would not begin. ReLU bends at 0 at any scale.
    layer = conv(in_channels, out_channels // _HEADS, name=name, heads=_HEADS, dropout=dropout, relu=pooled)
    return layer if pooled else Chain(layer, Activation(nn.functional.elu, f"{name}.update"))


models: Registry[Architecture] = Registry("model")
models.register("gcn")(Architecture(_gcn, takes_weights=True))
models.register("sage")(Architecture(_sage))
models.register("gin")(Architecture(_gin, hidden_channels=64, graph_layers=5))
models.register("gat")(Architecture(_gat, hidden_channels=64, dropout=0.6))
models.register("gatv2")(Architecture(_gatv2, hidden_channels=64, dropout=0.6))
models.register("tag")(Architecture(_tag, takes_weights=True))
models.register("graphconv")(Architecture(_graph_conv, takes_weights=True))
models.register("appnp")(Architecture(_appnp, takes_weights=True, hidden_channels=64))
