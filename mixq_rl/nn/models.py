"""Networks by name: their registry, and functions that build them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.graph import Propagation
from mixq_rl.nn.activations import Activation
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.gcn import GCNConv
from mixq_rl.nn.gin import GINConv
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.model import INPUT, Node, QuantizableModel
from mixq_rl.nn.operator import Chain, Dropout
from mixq_rl.nn.pooling import mean_pool
from mixq_rl.nn.sage import SAGEConv
from mixq_rl.nn.tag import TAGConv
from mixq_rl.quantization import FeatureScaling
from mixq_rl.randomness import seeded
from mixq_rl.registry import Registry

__all__ = ["Architecture", "build_model", "build_network", "models"]


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
    return GINConv(Chain(first, second), name=name)


_GAT_HEADS = 8
_MOST_LAYERS, _MOST_CHANNELS = 256, 2**16


def _gat(
    in_channels: int, out_channels: int, *, name: str, last: bool, pooled: bool, weighted: bool, dropout: float
) -> nn.Module:
    if last:
        return GATConv(in_channels, out_channels, name=name, concat=False, dropout=dropout)
    if out_channels % _GAT_HEADS:
        raise InputError(f"{out_channels} hidden channels of a gat: they are split among {_GAT_HEADS} heads")
    conv = GATConv(in_channels, out_channels // _GAT_HEADS, name=name, heads=_GAT_HEADS, dropout=dropout)
    return Chain(conv, Activation(nn.functional.elu, f"{name}.update"))


models: Registry[Architecture] = Registry("model")
models.register("gcn")(Architecture(_gcn, takes_weights=True))
models.register("sage")(Architecture(_sage))
models.register("gin")(Architecture(_gin, hidden_channels=64, graph_layers=5))
models.register("gat")(Architecture(_gat, hidden_channels=64, dropout=0.6))
models.register("tag")(Architecture(_tag, takes_weights=True))


def build_network(
    name: str,
    in_channels: int,
    out_channels: int,
    *,
    pooled: bool = False,
    weighted: bool = False,
    hidden_channels: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
    seed: int = 0,
) -> QuantizableModel:
    """Return a new quantizable network of given sizes, with random weights.

    For nodes: layers with dropout before each. For graphs: layers, pooling, and two linear layers with dropout between
    them.

    Args:
        name: ``"gcn"``, ``"sage"``, ``"gin"``, ``"gat"`` or ``"tag"``.
        in_channels: number of features of a node.
        out_channels: number of classes.
        pooled: whether graphs are classified, not nodes.
        weighted: whether the network uses edge weights; only ``"gcn"`` and ``"tag"`` can.
        hidden_channels: width of the hidden layers; None: the architecture's default.
        num_layers: number of layers, at least 1; None: 2 for nodes, 4 for graphs (5 for ``"gin"``).
        dropout: dropout probability, in training only; None: the architecture's default.
        seed: seed of the weights.

    Returns:
        the network; its components are not measured yet.

    Raises:
        UnknownNameError: listing the known names.
        InputError: for sizes that are not possible.
    """
    architecture = models[name]
    if weighted and not architecture.takes_weights:
        raise InputError(f"a {name} has no use for edge weights: leave them out, or choose gcn or tag")
    if hidden_channels is None:
        hidden_channels = architecture.graph_hidden_channels if pooled else architecture.hidden_channels
    if num_layers is None:
        num_layers = architecture.graph_layers if pooled else 2
    if num_layers < 1 or hidden_channels < 1:
        raise InputError(f"a {name} of {num_layers} layers of width {hidden_channels}: both must be at least 1")
    if num_layers > _MOST_LAYERS or hidden_channels > _MOST_CHANNELS:
        raise InputError(
            f"a {name} of {num_layers} layers of width {hidden_channels}: at most {_MOST_LAYERS} layers and a width of "
            f"{_MOST_CHANNELS} are built"
        )
    if dropout is None:
        dropout = architecture.graph_dropout if pooled else architecture.dropout
    widths = [in_channels, *[hidden_channels] * (num_layers - 1), hidden_channels if pooled else out_channels]
    with seeded(seed):
        chain = _layers(architecture, widths, pooled, weighted, dropout)
        if pooled:
            chain += _readout(architecture, hidden_channels, out_channels, dropout)
        sources = [INPUT, *(name for name, _ in chain)]
        nodes = [Node(name, layer, (source,)) for (name, layer), source in zip(chain, sources, strict=False)]
        return QuantizableModel(nodes, input_name="conv1.input")


def build_model(
    name: str,
    task: GraphTask,
    *,
    hidden_channels: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
    seed: int = 0,
) -> QuantizableModel:
    """Return a new quantizable network for a task, with random weights and measured components.

    Features whose columns are too far apart for 8 bits are scaled, in the network and exactly:
    :class:`~mixq_rl.quantization.FeatureScaling`.

    Args:
        name: ``"gcn"``, ``"sage"``, ``"gin"``, ``"gat"`` or ``"tag"``.
        task: gives the numbers of features and classes, whether nodes or graphs are classified, the data that the
            components are measured on, and the device. The weights are drawn on the CPU and the same on every device.
        hidden_channels, num_layers, dropout, seed: see :func:`build_network`.

    Raises:
        UnknownNameError: listing the known names.
        InputError: for sizes that are not possible.
    """
    model = build_network(
        name,
        task.num_features,
        task.num_classes,
        pooled=task.kind == "graph",
        weighted=task.edge_weight is not None,
        hidden_channels=hidden_channels,
        num_layers=num_layers,
        dropout=dropout,
        seed=seed,
    ).to(task.device)
    shifts = task.arbitrary_sign is None  # a column of either sign has no offset
    model.scaling = FeatureScaling.fitted(task.inputs("train").x, shifts=shifts)
    inputs = task.calibration_inputs
    model.observe(inputs.x, inputs.graph)
    return model


def _layers(
    architecture: Architecture, widths: list[int], pooled: bool, weighted: bool, dropout: float
) -> list[tuple[str, nn.Module]]:
    chain: list[tuple[str, nn.Module]] = []
    for index, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        name, last = f"conv{index}", not pooled and index == len(widths) - 1
        if not pooled:
            chain.append((f"dropout{index}", Dropout(dropout)))
        # Graph tasks have many small graphs: there, attention has no dropout.
        thinned = 0.0 if pooled else dropout
        layer = architecture.layer(
            before, after, name=name, last=last, pooled=pooled, weighted=weighted, dropout=thinned
        )
        chain.append((name, layer))
    return chain


def _readout(architecture: Architecture, hidden: int, classes: int, dropout: float) -> list[tuple[str, nn.Module]]:
    return [
        ("pool", architecture.pool("pool.aggregate")),
        ("lin1", Linear(hidden, hidden, names=("lin1.weight", "lin1.output"), relu=True)),
        ("dropout", Dropout(dropout)),
        ("lin2", Linear(hidden, classes, names=("lin2.weight", "lin2.output"))),
    ]
