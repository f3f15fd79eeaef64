from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mixq_rl.errors import ArtifactError
from mixq_rl.quantization import QTensor
from mixq_rl.storage.artifacts import load_artifact, pack, save_artifact, storable, unpack


@storable
@dataclass(frozen=True)
class Inner:
    values: Tensor
    bias: Tensor | None


@storable
@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    parts: tuple[Inner, ...]


@storable
@dataclass(frozen=True)
class Other:
    flag: bool


@storable
@dataclass(frozen=True)
class Choosing:
    parts: tuple[Inner | Other, ...]
    names: tuple[str, str]
    last: Inner | Other | None


@dataclass(frozen=True)
class Foreign:
    name: str


class Shape:
    """A base class that is not storable itself."""


@storable
@dataclass(frozen=True)
class Circle(Shape):
    radius: float


@storable
@dataclass(frozen=True)
class Ring(Circle):
    inner: float


@storable
@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Shape, ...]
    frame: Circle


def test_round_trip() -> None:
    tensors: dict[str, Tensor] = {}
    value = Outer("a", 3, (Inner(torch.arange(3), None), Inner(torch.ones(2), torch.zeros(1))))
    data = pack(value, "model", tensors)
    assert sorted(tensors) == ["model.parts.0.values", "model.parts.1.bias", "model.parts.1.values"]
    again = unpack(data, Outer, "model", tensors)
    assert (again.name, again.count, again.parts[0].bias) == ("a", 3, None)
    assert torch.equal(again.parts[0].values, torch.arange(3))


def test_only_known_classes_are_stored_and_built() -> None:
    with pytest.raises(TypeError, match="Foreign cannot be stored"):
        pack(Foreign("a"), "model", {})
    with pytest.raises(ArtifactError, match="'Foreign' is not Outer"):
        unpack({"type": "Foreign", "name": "a"}, Outer, "model", {})
    with pytest.raises(ArtifactError, match="'Inner' is not Outer"):
        unpack({"type": "Inner"}, Outer, "model", {})


def test_of_several_classes_the_one_that_was_stored_is_built() -> None:
    tensors: dict[str, Tensor] = {}
    value = Choosing((Other(True), Inner(torch.ones(1), None)), ("a", "b"), Other(False))
    again = unpack(pack(value, "model", tensors), Choosing, "model", tensors)
    assert [type(part) for part in again.parts] == [Other, Inner]
    assert again.last == Other(False)
    assert again.names == ("a", "b")


def test_a_base_class_stands_for_its_storable_subclasses() -> None:
    value = Drawing((Circle(1.0), Ring(2.0, 0.5)), Circle(3.0))
    data = pack(value, "drawing", {})
    assert unpack(data, Drawing, "drawing", {}) == value
    for kind in ("Shape", "Other", "Drawing", "object"):
        with pytest.raises(ArtifactError, match=f"'{kind}' is not Shape"):
            unpack({**data, "shapes": [{"type": kind, "flag": True}]}, Drawing, "drawing", {})
    with pytest.raises(ArtifactError, match="'Ring' is not Circle"):
        unpack({**data, "frame": pack(Ring(2.0, 0.5), "ring", {})}, Drawing, "drawing", {})


def test_storable_refuses_what_could_not_be_read_again() -> None:
    class Plain:
        pass

    with pytest.raises(TypeError, match="Plain is not a dataclass"):
        storable(Plain)
    other = dataclass(frozen=True)(type(QTensor.__name__, (), {"__module__": __name__}))
    with pytest.raises(TypeError, match=r"artifacts know a class QTensor of mixq_rl\.quantization\.qtensor"):
        storable(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last": {"type": "Outer", "name": "a", "count": 1, "parts": []}}, "'Outer' is not Inner"),
        ({"last": 3}, "None is not Inner"),
        ({"last": {"type": ["Inner"]}}, "is not Inner"),
        ({"names": ["a"]}, "names: 1 entries where 2 belong"),
        ({"names": ["a", "b", "c"]}, "names: 3 entries where 2 belong"),
        ({"names": ["a", 2]}, "2 is not of type str"),
        ({"parts": [{"type": "Other", "flag": 1}]}, r"parts\.0\.flag: 1 is not of type bool"),
    ],
)
def test_wrong_choices_and_lengths_are_refused(change: dict[str, object], message: str) -> None:
    data = {"type": "Choosing", "parts": [], "names": ["a", "b"], "last": None, **change}
    with pytest.raises(ArtifactError, match=message):
        unpack(data, Choosing, "model", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "3"}, "'3' is not of type int"),
        ({"count": True}, "True is not of type int"),
        ({"parts": 1}, "a list is missing"),
        ({"parts": [{"type": "Inner", "values": {"tensor": "x"}, "bias": None}]}, "tensor missing"),
        ({"parts": [{"type": "Inner", "values": {"tensor": ["x"]}, "bias": None}]}, "tensor missing"),
        ({"parts": [{"type": "Inner", "bias": None}]}, r"model\.parts\.0\.values: missing"),
    ],
)
def test_fields_of_another_type_are_refused(change: dict[str, object], message: str) -> None:
    data = {"type": "Outer", "name": "a", "count": 3, "parts": [], **change}
    with pytest.raises(ArtifactError, match=message):
        unpack(data, Outer, "model", {})


def test_artifact_files(tmp_path: Path) -> None:
    save_artifact(tmp_path / "new", "thing", 2, {"a": 1}, {"t": torch.ones(2)})
    config, tensors = load_artifact(tmp_path / "new", "thing", 2)
    assert config["a"] == 1
    assert torch.equal(tensors["t"], torch.ones(2))
    with pytest.raises(ArtifactError, match="has format version 2; this version of mixq_rl reads 3"):
        load_artifact(tmp_path / "new", "thing", 3)
    (tmp_path / "new" / "thing.json").write_text("[]")
    with pytest.raises(ArtifactError, match="is not a mixq_rl thing"):
        load_artifact(tmp_path / "new", "thing", 2)
