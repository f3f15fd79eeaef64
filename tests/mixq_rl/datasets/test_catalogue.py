import pytest

import mixq_rl
from mixq_rl.datasets import datasets
from mixq_rl.errors import DataNotFoundError, InputError, UnknownNameError


def test_all_families_are_listed() -> None:
    names = {"citation", "CSL", "PubMed", "Photo", "Physics", "EN", "Facebook", "Squirrel", "Flickr", "Reddit"}
    assert names | {"ogbn-arxiv", "ogbn-products", "MNIST", "CIFAR10", "DD", "IMDB-BINARY"} <= set(datasets)


def test_unknown_names_are_answered_with_the_known_ones_and_the_ways_to_others() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"'Coraa': known are citation, .*did you mean 'Cora'\?; or write tu:NAME .* \.npz or \.pt",
    ):
        mixq_rl.load_task("Coraa")


@pytest.mark.parametrize("name", ["tu:", "tu:../Cora", "tu:.", "tu:a/b"])
def test_names_of_tudatasets_that_cannot_be(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"cannot be a dataset's name: write it as in tu:PROTEINS"):
        mixq_rl.load_task(name)


@pytest.mark.parametrize("name", ["citation", "Cora", "Flickr", "Reddit", "MNIST"])
def test_datasets_of_one_split_have_no_other_fold(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} has no fold 1: it has one split: leave the fold out"):
        mixq_rl.load_task(name, fold=1)


@pytest.mark.parametrize("name", ["Photo", "CS", "EN", "Facebook", "Chameleon"])
def test_datasets_of_ten_splits_have_no_eleventh(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} has no fold 10: it has folds 0\.\.\.9"):
        mixq_rl.load_task(name, fold=10)


@pytest.mark.parametrize(
    "name", [name for name in datasets if name not in ("citation", "CSL", "topics") and not name.startswith("ogb")]
)
def test_every_loader_says_what_it_looked_for(name: str) -> None:
    with pytest.raises(DataNotFoundError, match=rf"'nowhere' does not exist: looked for the files of {name} in .*raw'"):
        mixq_rl.load_task(name, "nowhere")
