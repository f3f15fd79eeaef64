"""Statistics of batch normalisation at one allocation."""

import torch

from mixq_rl.datasets import GraphTask
from mixq_rl.devices import deterministic
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.batch_norm import batch_norms

__all__ = ["estimate_statistics"]


def estimate_statistics(model: QuantizableModel, task: GraphTask) -> None:
    """Set the running statistics of batch normalisation to those of the calibration data, without dropout.

    Rounding to few bits changes means and variances, layer after layer. A model without batch normalisation is left
    alone. A normalisation that is called more than once gets the mean of its calls' statistics.

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
    try:
        with torch.inference_mode(False), torch.no_grad(), deterministic(task.device):
            for norm in norms:
                norm.train()
                norm.momentum = None
                assert norm.num_batches_tracked is not None
                norm.num_batches_tracked.zero_()
            model(inputs.x, inputs.graph)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
