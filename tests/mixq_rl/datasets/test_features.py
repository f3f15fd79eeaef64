import torch

from mixq_rl.datasets.features import MOST_DEGREES, one_hot_degree, standardised


def test_degrees_are_one_hot() -> None:
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    assert one_hot_degree(edge_index, 4).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_great_degrees_share_the_last_column() -> None:
    edge_index = torch.stack([torch.arange(1_000), torch.arange(1_000) >= 450]).long()
    x = one_hot_degree(edge_index, 1_000)
    assert x.shape == (1_000, MOST_DEGREES)
    assert x[:2, -1].tolist() == [1, 1]


def test_standardised_by_training_nodes_alone() -> None:
    x = torch.tensor([[0.0, 1.0, 3.0], [4.0, 0.0, 3.0], [100.0, 1.0, 5.0]])
    training = torch.tensor([True, True, False])
    assert standardised(x, training).tolist() == [[-1, 1, 0], [1, 0, 0], [49, 1, 2]]
