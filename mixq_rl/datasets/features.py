"""Node features made from degrees and categories, and standardised attributes."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["MOST_DEGREES", "one_hot_columns", "one_hot_degree", "standardised"]

MOST_DEGREES = 400


def one_hot_degree(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Return each node's number of incoming edges as a one-hot vector, float32 ``[nodes, degrees]``.

    The columns are the degrees 0, 1, 2, ... up to the greatest degree, but at most 400 columns: the last one then
    stands for all degrees of 399 and above.
    """
    degree = torch.bincount(edge_index[1], minlength=num_nodes).clamp(max=MOST_DEGREES - 1)
    return one_hot(degree).float()


def one_hot_columns(categories: Tensor) -> Tensor:
    """Return each column of categories 0, 1, 2, ..., int64 ``[nodes, columns]``, as one-hot vectors side by side.

    A column has as many entries as its greatest category requires.
    """
    return torch.cat([one_hot(column) for column in categories.T], dim=1).float()


def standardised(x: Tensor, training: Tensor) -> Tensor:
    """Return columns standardised with mean and standard deviation of the training nodes.

    Columns of zeros and ones are not changed. A column that is constant in training is only centred.

    Args:
        x: attributes, ``[nodes, columns]``.
        training: whether each node is a training node, bool ``[nodes]``.
    """
    values = x.double()
    known = values[training]
    deviation = known.std(dim=0, correction=0)
    scaled = (values - known.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    binary = ((values == 0) | (values == 1)).all(dim=0)
    return torch.where(binary, values, scaled).float()
