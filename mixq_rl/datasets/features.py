"""Features of nodes, where a dataset has none or has them in units of its own."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["MOST_DEGREES", "one_hot_degree", "standardised"]

MOST_DEGREES = 400


def one_hot_degree(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Return each node's number of incoming edges as a one-hot vector, float32 ``[nodes, degrees]``.

    Columns stand for 0, 1, 2, ... up to the greatest degree, but there are 400 at most: the last then stands for 399
    and all above.
    """
    degree = torch.bincount(edge_index[1], minlength=num_nodes).clamp(max=MOST_DEGREES - 1)
    return one_hot(degree).float()


def standardised(x: Tensor, training: Tensor) -> Tensor:
    """Return columns less their mean, over their standard deviation, both of the training nodes alone.

    Columns of zeros and ones remain as they are; those that are constant in training become zero there.

    Args:
        x: ``[nodes, columns]``.
        training: bool ``[nodes]``.
    """
    values = x.double()
    known = values[training]
    deviation = known.std(dim=0, correction=0)
    scaled = (values - known.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    binary = ((values == 0) | (values == 1)).all(dim=0)
    return torch.where(binary, values, scaled).float()
