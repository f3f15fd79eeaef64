from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.schema import from_plain, read_document


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"x is {self.x}: it cannot be negative")


@dataclass(frozen=True)
class Shape:
    name: str
    points: tuple[Point, ...]
    marks: dict[str, Any]


PLAIN = {"name": "line", "points": [{"x": 1}, {"x": 2.5, "y": 3}], "marks": {"a": [1, None]}}


def test_plain_values_become_the_dataclass() -> None:
    assert from_plain(PLAIN, Shape) == Shape("line", (Point(1.0), Point(2.5, 3.0)), {"a": [1, None]})
    assert from_plain([{"x": 1}], list[Point]) == [Point(1.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"Expected `str`, got `int` - at `\$.name`"),
        ({"points": {}}, r"Expected `array`, got `object` - at `\$.points`"),
        ({"points": [{"x": True}]}, r"Expected `float`, got `bool` - at `\$.points\[0\].x`"),
        ({"points": [{"x": "1"}]}, r"Expected `float`, got `str` - at `\$.points\[0\].x`"),
        ({"points": [{}]}, r"missing required field `x` - at `\$.points\[0\]`"),
        ({"points": [{"x": -1}]}, r"x is -1.0: it cannot be negative - at `\$.points\[0\]`"),
        ({"points": [{"x": float("inf")}]}, r"inf is no finite number - at `\$.points\[0\].x`"),
        ({"points": [{"x": 1, "z": 1}]}, r"unknown field 'z' - at `\$.points\[0\]`"),
        ({"colour": 1}, r"unknown field 'colour' - at `\$`"),
        ({"marks": {"b": float("nan")}}, r"nan is no finite number - at `\$.marks.b`"),
        ({"points": [{"x": 10**400}]}, r"\$.points\[0\].x"),
    ],
)
def test_the_place_of_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        from_plain({**PLAIN, **change}, Shape)


def test_messages_stay_short() -> None:
    with pytest.raises(ArtifactError) as refusal:
        from_plain({**PLAIN, "u" * 10_000: 1}, Shape)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is no toy"),
        ('{"format": "other", "version": 1}', "is no toy"),
        ('{"format": "toy", "version": 2}', "has format version 2; this version of mixq_rl reads 1"),
        ('{"format": "toy"', "is damaged"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_documents_are_of_a_format_and_a_version(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "toy.json"
    with pytest.raises(ArtifactError, match=r"toy\.json is missing"):
        read_document(path, "toy", 1)
    path.write_text('{"format": "toy", "version": 1, "name": "a"}')
    assert read_document(path, "toy", 1) == {"name": "a"}
    path.write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_document(path, "toy", 1)
