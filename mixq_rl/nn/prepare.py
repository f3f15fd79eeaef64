"""From the float model that a user has to a quantizable one."""

import copy

from torch import nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.operator import Dropout
from mixq_rl.randomness import seeded

__all__ = ["prepare"]


def prepare(model: nn.Module, task: GraphTask | None = None) -> QuantizableModel:
    """Turn a float model into a quantizable one that computes the same.

    The model may be any module whose ``forward`` calls supported layers and functions on matrices:

    - ``GCN``, ``GraphSAGE``, ``GIN``, ``GAT`` and ``MLP`` of PyTorch Geometric, jumping knowledge by ``"cat"``,
      ``"max"`` and ``"last"`` included;
    - PyTorch Geometric's ``GCNConv``, ``SAGEConv`` (mean or sum), ``GINConv``, ``GATConv``, ``TAGConv``; ``Linear``;
      ``BatchNorm`` and ``BatchNorm1d``; ``Dropout``; activations; ``JumpingKnowledge``; ``Sequential`` of both;
    - of functions: activations, ``dropout``, ``+``, ``cat``, ``maximum``, ``global_add_pool``, ``global_mean_pool``,
      ``global_max_pool``.

    Its ``forward`` takes x, edge_index and, where it needs them, ``edge_weight`` and ``batch``; or one argument
    ``data`` with these attributes. Other arguments keep their defaults. It is followed once, in evaluation mode: it
    may decide by its attributes, not by values of tensors, what it computes.

    A ReLU becomes one with the layer before it, a batch normalisation with the linear layer or sum before it, sums of
    sums one sum. Components are called after the layer's path in the model, ``"convs.0.weight"``, or the function,
    ``"add.update"``.

    Args:
        model: is left as it is; weights are copied.
        task: on which components are measured; None: that is left to
            :meth:`~mixq_rl.nn.QuantizableModel.observe`. Where its graph has no edge weights, an optional argument
            ``edge_weight`` keeps its default; where nodes are classified, so does ``batch``.

    Returns:
        The quantizable model, in the model's dtype and mode (training or evaluation), on the task's device, or on the
        model's where there is no task.

    Raises:
        UnsupportedLayerError: naming all that is not supported, where it is and what could replace it.
        InputError: if the model does not fit the task.
    """
    # PyTorch Geometric takes seconds to import, and nothing else of this package's engine needs it.
    from mixq_rl.nn.conversion import convert, trace

    original = copy.deepcopy(model).eval()
    pooled = task is None or task.kind == "graph"
    graph = trace(original, weighted=task is None or task.edge_weight is not None, pooled=pooled)
    with seeded(0):  # layers draw weights before they are given those of the model
        nodes = convert(graph, original)
    first = next((node.name for node in nodes if not isinstance(node.layer, Dropout)), nodes[0].name)
    prepared = QuantizableModel(nodes, input_name=f"{first}.input").train(model.training)
    parameter = next(prepared.parameters(), None)
    if parameter is not None:
        prepared.to(parameter.device if task is None else task.device)
    if task is not None:
        _measure(prepared, task)
    return prepared


def _measure(model: QuantizableModel, task: GraphTask) -> None:
    inputs = task.calibration_inputs
    try:
        with model.evaluating():
            logits = model(inputs.x, inputs.graph)
    except RuntimeError as error:
        raise InputError(
            f"the model cannot be run on task {task.name!r}, of {task.num_features} features: {error}"
        ) from error
    rows = inputs.y.shape[0]
    if logits.shape[0] != rows or logits.shape[1] < task.num_classes:
        raise InputError(
            f"the model gives logits of shape {list(logits.shape)}; task {task.name!r} needs a row for each of "
            f"{rows} {task.kind}s and a column for each of {task.num_classes} classes"
        )
    model.observe(inputs.x, inputs.graph)
