import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.records.checkpoints import Checkpoints, State

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.builds(lambda values: torch.tensor(values, dtype=torch.float64), st.lists(st.floats(-9, 9), max_size=4)),
    st.builds(lambda values: np.array(values, dtype=np.int64), st.lists(st.integers(-9, 9), max_size=4)),
    st.builds(lambda value: np.array(value), st.booleans()),
)
STATES = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
        max_leaves=8,
    ),
    max_size=4,
)


def same(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, torch.Tensor | np.ndarray):
        kind = type(left)
        return isinstance(right, kind) and left.dtype == right.dtype and bool((left == right).all())
    return type(left) is type(right) and left == right


@given(STATES)
def test_gives_back_what_was_kept(tmp_path_factory: pytest.TempPathFactory, state: State) -> None:
    checkpoints = Checkpoints(tmp_path_factory.mktemp("run") / "checkpoints")
    checkpoints.save(7, state)
    found = checkpoints.latest()
    assert found is not None
    assert found[0] == 7
    assert same(found[1], state)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "checkpoints").latest() is None


def test_keeps_the_last_two(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (4, 8, 12):
        checkpoints.save(step, {"step": step})
    assert [int(path.name) for path in sorted(tmp_path.iterdir())] == [8, 12]
    assert checkpoints.latest() == (12, {"step": 12})


def test_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, {"value": 1})
    checkpoints.save(4, {"value": 2})
    assert checkpoints.latest() == (4, {"value": 2})
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("file", ["checkpoint.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "altered", "removed"])
def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(tmp_path: Path, file: str, damage: str) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(tmp_path, warn=said.append)
    checkpoints.save(4, {"value": 0.25, "weights": torch.arange(100.0)})
    checkpoints.save(8, {"value": 0.75, "weights": torch.arange(100.0) + 1})
    path = tmp_path / "000000008" / file
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        altered = whole.replace(b"0.75", b"0.76") if file.endswith("json") else whole[:-1] + bytes([whole[-1] ^ 1])
        path.write_bytes({"cut": whole[: len(whole) // 2], "emptied": b"", "altered": altered}[damage])
    found = checkpoints.latest()
    assert found is not None
    assert (found[0], found[1]["value"]) == (4, 0.25)
    assert len(said) == 1
    assert "checkpoint 000000008 is skipped" in said[0]


def test_a_newer_format_is_passed_over(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(tmp_path, warn=said.append)
    checkpoints.save(4, {})
    path = tmp_path / "000000004" / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    assert checkpoints.latest() is None
    assert "format version 99" in said[0]


def test_what_cannot_be_kept_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.of\.0: set cannot be kept"):
        Checkpoints(tmp_path / "checkpoints").save(1, {"of": [set()]})
    assert list(tmp_path.iterdir()) == []
