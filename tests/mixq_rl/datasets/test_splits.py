import torch

from mixq_rl.datasets.splits import fraction_split, planetoid_split


def test_fractions_are_disjoint_complete_and_drawn_from_the_seed() -> None:
    masks = fraction_split(50, train=0.6, validation=0.2, seed=1)
    assert [int(masks[split].sum()) for split in ("train", "validation", "test")] == [30, 10, 10]
    assert torch.stack(list(masks.values())).sum(dim=0).tolist() == [1] * 50
    assert torch.equal(masks["train"], fraction_split(50, train=0.6, validation=0.2, seed=1)["train"])
    assert not torch.equal(masks["train"], fraction_split(50, train=0.6, validation=0.2, seed=2)["train"])


def test_planetoid_split_balances_the_training_nodes() -> None:
    y = torch.arange(100) % 4
    masks = planetoid_split(y, train_per_class=5, validation=30, test=40, seed=0)
    assert torch.bincount(y[masks["train"]]).tolist() == [5] * 4
    assert [int(masks[split].sum()) for split in ("validation", "test")] == [30, 40]
    assert int(torch.stack(list(masks.values())).sum(dim=0).max()) == 1
