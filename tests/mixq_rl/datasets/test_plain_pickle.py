import contextlib
import pickle
import pickletools
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.datasets.inert import Named, Objects, Saved
from mixq_rl.datasets.plain_pickle import read_pickle

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.booleans() | st.none()
texts = st.text(max_size=300) | st.binary(max_size=300)
keys = st.text(max_size=5) | st.integers(-1000, 1000)
values = st.recursive(
    numbers | texts,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=20,
)


def read(content: bytes, most: int = 10_000) -> Any:
    value, end = read_pickle(content, Objects(most))
    assert end == len(content)
    return value


@given(value=values, protocol=st.sampled_from([3, 4, 5]))
def test_plain_values_are_read_as_they_are(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("value", [[1, -5, 2**40, True, False], {"a": (1, 2, 3, 4)}, [None, 300, 70_000]])
def test_old_protocols_are_read(value: Any) -> None:
    assert read(pickle.dumps(value, 2)) == value
    if not isinstance(value, dict):
        assert read(pickle.dumps(value, 0)) == value


@given(content=st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_plain_error(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_pickle(content, Objects(1000))


@given(content=st.lists(st.sampled_from([op.code.encode("latin1") for op in pickletools.opcodes]), max_size=60))
def test_any_instructions_end_in_a_value_or_a_plain_error(content: list[bytes]) -> None:
    with contextlib.suppress(ValueError):
        read_pickle(b"".join(content) + b".", Objects(1000))


def test_objects_are_inert(tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    saved = read(pickle.dumps(Trap(), 4))
    assert isinstance(saved, Saved)
    assert saved.made_by != Named("pathlib", "Path")
    assert not trap.exists()
    filled = read(pickle.dumps(defaultdict(list, {1: [2]}), 4))
    assert (filled.made_by, filled.items) == (Named("collections", "defaultdict"), {1: [2]})
    assert read(pickle.dumps(OrderedDict(a=1), 2)).items == {"a": 1}


def test_values_of_a_hostile_pickle_are_counted() -> None:
    with pytest.raises(ValueError, match="more instructions"):
        read(b"(" + b"]" * 2000 + b"l.", 1000)


def test_deep_nesting_is_read_without_recursion() -> None:
    depth = 100_000
    value = read(b"]" * depth + b"a" * (depth - 1) + b".", 3 * depth)
    while value:
        (value,) = value
        depth -= 1
    assert depth == 1


@pytest.mark.parametrize(
    "key",
    [
        b"(K\x01K\x01tq\x00" + b"0h\x00h\x00\x86q\x00" * 100,  # a tuple whose hash takes 2^100 steps
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x1f",  # 2^61 - 1: all its multiples have the hash 0
        b"G\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
)
def test_keys_that_a_dictionary_is_slow_with_are_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="keys"):
        read(b"}" + key + b"K\x01s.")


@pytest.mark.parametrize(
    "content", [b"", b"K", b".", b"(.", b"0.", b"(t", b"h\x05.", b"\x8c\xff.", b"K\x01b.", b"]q", b"cos\n"]
)
def test_damaged_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"pickle|subsection"):
        read(content)
