"""Layers that learn the number of their features from the first call."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn.conversion.arguments import ModelCall, readings
from mixq_rl.printable import first_line

__all__ = ["give_weights"]


def give_weights(model: nn.Module, task: GraphTask, given: set[str]) -> None:
    """Give the layers of a model that have no weights yet random ones, by a call on a task.

    Args:
        model: a model in evaluation mode.
        task: the task.
        given: inputs that the graph has, beside x and edge_index.

    Raises:
        UnsupportedLayerError: if the model cannot be called.
    """
    if not any(is_lazy(parameter) for parameter in model.parameters()):
        return
    inputs = task.calibration_inputs
    graph, failure = inputs.graph, None
    for roles in readings(model, given):
        call = ModelCall(model, roles, {"x", "edge_index", *given})
        try:
            with torch.no_grad():
                call(inputs.x, graph.edge_index, graph.edge_weight, graph.batch)
            return
        except Exception as error:  # of the model's own code
            failure = failure or error
    assert failure is not None  # set by the last attempt
    raise UnsupportedLayerError(
        f"the model has layers without weights, and cannot be called on task {task.name!r} to give them some "
        f"({first_line(failure)}): call it once before"
    ) from failure
