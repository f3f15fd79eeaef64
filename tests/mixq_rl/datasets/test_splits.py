import pytest
import torch

from mixq_rl.datasets.splits import (
    check_fold,
    class_split,
    fold_split,
    fraction_split,
    planetoid_split,
    stratified_folds,
)
from mixq_rl.errors import InputError


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


def test_class_split_balances_training_and_validation() -> None:
    y = torch.arange(100) % 3
    masks = class_split(y, train_per_class=5, validation_per_class=7, seed=0)
    assert torch.bincount(y[masks["train"]]).tolist() == [5] * 3
    assert torch.bincount(y[masks["validation"]]).tolist() == [7] * 3
    assert torch.stack(list(masks.values())).sum(dim=0).tolist() == [1] * 100


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_are_of_one_size_and_stratified(folds: int) -> None:
    y = torch.randint(4, (203,), generator=torch.Generator().manual_seed(0)) ** 2
    fold = stratified_folds(y, folds)
    sizes = torch.bincount(fold, minlength=folds)
    assert int(sizes.max() - sizes.min()) <= 1
    for label in y.unique():
        held = torch.bincount(fold[y == label], minlength=folds)
        assert int(held.max() - held.min()) <= 1
    assert torch.equal(fold, stratified_folds(y, folds))
    assert not torch.equal(fold, stratified_folds(y, folds, seed=1))


def test_fold_splits_test_every_row_once() -> None:
    y = torch.arange(53) % 3
    splits = [fold_split(y, folds=10, fold=fold) for fold in range(10)]
    assert torch.stack([masks["test"] for masks in splits]).sum(dim=0).tolist() == [1] * 53
    for masks, following in zip(splits, splits[1:] + splits[:1], strict=True):
        assert torch.stack(list(masks.values())).sum(dim=0).tolist() == [1] * 53
        assert torch.equal(masks["validation"], following["test"])


def test_folds_that_do_not_exist() -> None:
    assert [check_fold("Cora", None), check_fold("Cora", 0), check_fold("MUTAG", 9, 10)] == [0, 0, 9]
    with pytest.raises(InputError, match="Cora has no fold 1: it has one split: leave the fold out"):
        check_fold("Cora", 1)
    for fold in (10, -1):
        with pytest.raises(InputError, match=rf"MUTAG has no fold {fold}: it has folds 0\.\.\.9"):
            check_fold("MUTAG", fold, 10)
