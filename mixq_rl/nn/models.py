"""Networks by the name of their architecture: ``build_model``, ``build_network``."""

import itertools

import torch
from torch import nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn.architectures import Architecture, models
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.node import INPUT, Node
from mixq_rl.nn.operator import Dropout
from mixq_rl.quantization import FeatureScaling
from mixq_rl.randomness import seeded

__all__ = ["Architecture", "build_model", "build_network", "models"]

_MOST_LAYERS, _MOST_CHANNELS = 256, 2**16


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
        name: name of an architecture in :data:`models`, such as ``"gcn"``.
        in_channels: number of features of a node.
        out_channels: number of classes.
        pooled: whether graphs are classified, not nodes.
        weighted: whether the network uses edge weights; not every architecture can.
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
        others = ", ".join(known for known in models if models[known].takes_weights)
        raise InputError(f"a {name} has no use for edge weights: leave them out, or choose another model ({others})")
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
        name: name of an architecture in :data:`models`, such as ``"gcn"``.
        task: gives the numbers of features and classes, whether nodes or graphs are classified, the data that the
            components are measured on, and the device. The weights are drawn on the CPU and the same on every device.
            The output's bias starts at 0, or at the log odds of the training labels of a multi-label task.
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
    if task.multi_label:
        _start_at_label_shares(model, task)
    inputs = task.calibration_inputs
    model.observe(inputs.x, inputs.graph)
    return model


@torch.no_grad()
def _start_at_label_shares(model: QuantizableModel, task: GraphTask) -> None:
    """Set the output's bias to the log odds of the training labels.

    Most labels are rare. From a bias of 0 all logits have to sink first, and small features are too slow to prevent
    that hidden units die in the process.
    """
    labels = task.y[task.masks["train"]]
    known, positive = (~labels.isnan()).sum(dim=0), labels.nansum(dim=0)
    for name, parameter in model.layers[-1].named_parameters():
        if name.endswith("bias") and parameter.shape == known.shape:
            parameter.copy_(((positive + 1) / (known - positive + 1)).log())


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
