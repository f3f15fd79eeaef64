"""Statistics of batch normalisation at one allocation."""

import torch

from mixq_rl.datasets import GraphTask
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.batch_norm import batch_norms

__all__ = ["estimate_statistics"]


@torch.no_grad()
def estimate_statistics(model: QuantizableModel, task: GraphTask) -> None:
    """Set the running statistics of batch normalisation to those of the calibration data, without dropout.

    Rounding to few bits changes means and variances, layer after layer. A model without batch normalisation is left
    alone.

    Args:
        model: calibrated model, with an allocation in force or in float; changed in place.
        task: task with the data: the graph, or 128 training graphs.
    """
    norms = batch_norms(model)
    if not norms:
        return
    inputs, training = task.calibration_inputs, model.training
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        model(inputs.x, inputs.graph)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
