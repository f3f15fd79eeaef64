import pytest

from mixq_rl.errors import UnknownNameError
from mixq_rl.registry import Registry


@pytest.fixture
def registry() -> Registry[int]:
    registry = Registry[int]("dataset")
    registry.register("Cora")(1)
    registry.register("CiteSeer")(2)
    return registry


def test_finds_without_regard_to_case(registry: Registry[int]) -> None:
    assert registry["cora"] == registry["CORA"] == 1
    assert list(registry) == ["Cora", "CiteSeer"]


def test_unknown_name_lists_the_known_and_suggests_the_nearest(registry: Registry[int]) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown dataset 'Coraa': known are Cora, CiteSeer; did you mean 'Cora'\?"
    ):
        registry["Coraa"]


def test_suggests_nothing_that_is_far_off(registry: Registry[int]) -> None:
    with pytest.raises(UnknownNameError, match=r"known are Cora, CiteSeer$"):
        registry["zzz"]
