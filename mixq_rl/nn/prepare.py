"""Conversion of a user's float model to a quantizable one: ``prepare``."""

import copy
import logging

from torch import nn
from torch.nn.parameter import is_lazy

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, UnsupportedLayerError
from mixq_rl.nn.feature_folding import fold_feature_scaling
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.operator import Dropout
from mixq_rl.printable import first_line
from mixq_rl.randomness import seeded

__all__ = ["prepare"]

_logger = logging.getLogger(__name__)


def prepare(model: nn.Module, task: GraphTask | None = None) -> QuantizableModel:
    """Return a quantizable model that computes the same as a float model.

    The model may be any module whose ``forward`` calls supported layers and functions on matrices:

    - ``GCN``, ``GraphSAGE``, ``GIN``, ``GAT`` and ``MLP`` of PyTorch Geometric, jumping knowledge by ``"cat"``,
      ``"max"`` and ``"last"`` included;
    - PyTorch Geometric's ``GCNConv``, ``SAGEConv`` (mean, sum or maximum), ``GraphConv``, ``ClusterGCNConv``,
      ``GINConv``, ``GATConv``, ``GATv2Conv``, ``TAGConv``, ``SGConv``, ``APPNP``; ``Linear``; ``BatchNorm`` and
      ``BatchNorm1d``; ``Dropout``; activations; ``JumpingKnowledge``; ``Sequential`` of both;
    - of functions: activations, ``dropout``, ``+``, ``-``, products with numbers, ``cat``, ``maximum``,
      ``global_add_pool``, ``global_mean_pool``, ``global_max_pool``;
    - of functions of graphs: ``add_self_loops``, ``add_remaining_self_loops``, ``remove_self_loops``,
      ``to_undirected``, ``coalesce``, ``sort_edge_index``, ``gcn_norm``; ``dropout_edge``, ``dropout_adj`` and
      ``dropout_node``, which drop edges in training.

    The ``forward`` of the model takes x, edge_index and, if needed, ``edge_weight`` and ``batch``; or one argument with
    these attributes, such as ``data``. ``edge_attr`` gets the edge weights where it is required and there is no
    ``edge_weight``. Other arguments keep their defaults. The call of ``forward`` is traced once in evaluation and once
    in training mode: its control flow may depend on attributes, but not on values of tensors.

    A layer may be called several times. Its weights are held once, with one component such as ``"conv.weight"``; the
    other components of the second call are called ``"conv:2.message"`` and so on.

    Wrappers (``torch.compile``, ``DataParallel``, ``AveragedModel``) are left out, weights that are computed (weight
    norm, spectral norm, parametrizations, pruning) are folded into parameters. A softmax at the end is left out;
    on a multi-label task, a sigmoid.
    What was done is logged, a line each.

    Features whose columns are too far apart for 8 bits are scaled exactly, and the factors are folded into the first
    weights (:class:`~mixq_rl.quantization.FeatureScaling`).

    A ReLU is merged into the layer before it, a batch normalisation into the linear layer or sum before it, and nested
    sums into one sum. A component is named after the path of its layer in the model, such as ``"convs.0.weight"``, or
    after the function, such as ``"add.update"``.

    Args:
        model: the float model. It is not changed; its weights are copied. A quantizable model is copied as it is.
        task: the task that the components are measured on. None: measure them later by
            :meth:`~mixq_rl.nn.QuantizableModel.observe`. An optional argument ``edge_weight`` of the model keeps its
            default if the task's graph has no edge weights; an optional ``batch``, if nodes are classified. Layers
            without weights yet (``GCNConv(-1, 16)``) get random ones by a call on the task.

    Returns:
        the quantizable model, in float32 and the model's mode (training or evaluation), on the device of the task, or
        of the model if there is no task.

    Raises:
        UnsupportedLayerError: naming every part that is not supported, its path and a replacement.
        InputError: if the model does not fit the task, or holds NaN or infinity.
    """
    # PyTorch Geometric takes seconds to import, and no other part of the engine needs it.
    from mixq_rl.nn.conversion import convert, copied, explained, give_weights, trace

    if isinstance(model, QuantizableModel):
        prepared = copy.deepcopy(model)
        if task is not None:
            _measure(prepared.to(task.device), task)
        return prepared
    original = copied(model)
    given = {"edge_weight", "batch"}
    if task is not None:
        held = {"edge_weight": task.edge_weight is not None, "batch": task.kind == "graph"}
        given = {name for name in given if held[name]}
        original.to(task.device)
    _check_finite(original)
    with seeded(0):  # new layers draw random weights, before the model's weights replace them
        if task is not None:
            give_weights(original, task, given)
        try:
            graph = trace(original, given, multi_label=task is not None and task.multi_label)
        except UnsupportedLayerError as error:
            raise explained(error, original) from None
        nodes = convert(graph, original)
    first = next((node.name for node in nodes if not isinstance(node.layer, Dropout)), nodes[0].name)
    prepared = QuantizableModel(nodes, input_name=f"{first}.input").train(model.training)
    parameter = next(prepared.parameters(), None)
    if parameter is not None:
        prepared.to(parameter.device if task is None else task.device)
    if task is not None:
        _measure(prepared, task)
        inputs = task.inputs("train")
        fold_feature_scaling(prepared, inputs.x, inputs.graph)
    return prepared


def _check_finite(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not is_lazy(parameter) and not bool(parameter.isfinite().all()):
            raise InputError(f"the model's {name} holds NaN or infinity: the training of it diverged")


def _measure(model: QuantizableModel, task: GraphTask) -> None:
    inputs = task.calibration_inputs
    expected = model.in_channels
    if expected not in (None, task.num_features):
        raise InputError(
            f"the model cannot be run on task {task.name!r}, of {task.num_features} features: it takes {expected}; "
            f"build it with in_channels={task.num_features}"
        )
    try:
        with model.evaluating():
            logits = model(inputs.x, inputs.graph)
    except RuntimeError as error:
        reason = first_line(error)
        raise InputError(
            f"the model cannot be run on task {task.name!r}, of {task.num_features} features: {reason}"
        ) from error
    rows, columns = inputs.y.shape[0], logits.shape[1]
    # Classes without rows and names are harmless.
    is_exact = task.multi_label or task.class_names is not None
    if logits.shape[0] != rows or columns < task.num_classes or (is_exact and columns > task.num_classes):
        raise InputError(
            f"the model gives logits of shape {list(logits.shape)}; task {task.name!r} needs a row for each of "
            f"{rows} {task.kind}s and a column for each of {task.num_classes} {_outputs(task)}"
        )
    if logits.shape[1] > task.num_classes:
        line = "the model gives %d logits for the %d classes of %s: the others are never right"
        _logger.warning(line, logits.shape[1], task.num_classes, task.name)
    if not bool(logits.isfinite().all()):
        raise InputError(
            f"the model gives NaN or infinity on task {task.name!r}: its weights or statistics are damaged"
        )
    model.observe(inputs.x, inputs.graph)


def _outputs(task: GraphTask) -> str:
    return "labels" if task.multi_label else "classes"
