from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.datasets.array_rows import ArrayRows
from mixq_rl.errors import DataNotFoundError, InvalidGraphError


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 0), (0, 3), (0,)])
def test_rows_are_those_of_the_array(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(int(np.prod(shape))).reshape(shape) % 5).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    rows = ArrayRows(tmp_path / "x.npy")
    assert (rows.shape, str(rows.dtype).removeprefix("torch."), len(rows)) == (shape, dtype, shape[0])
    assert rows.nbytes == array.nbytes
    for begin, end in [(0, 7), (2, 5), (6, 9), (3, 3)]:
        assert torch.equal(rows[begin:end], torch.from_numpy(array[begin:end]))


@given(begin=st.integers(0, 12), end=st.integers(0, 12))
def test_any_slice(tmp_path_factory: pytest.TempPathFactory, begin: int, end: int) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    array = np.arange(22, dtype=np.float32).reshape(11, 2)
    np.save(path, array)
    assert torch.equal(ArrayRows(path)[begin:end], torch.from_numpy(array[begin:end]))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([1 + 1j]), "complex128"),
        (np.float32(3), "write real numbers"),
        (np.asfortranarray(np.zeros((3, 2))), "row after row"),
        (np.zeros(3, ">f4"), "other byte order"),
        (np.array(["a", "b"]), "other values than numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InvalidGraphError, match=reason):
        ArrayRows(tmp_path / "x.npy")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with pytest.raises(DataNotFoundError, match="does not exist"):
        ArrayRows(path)
    path.mkdir()
    with pytest.raises(DataNotFoundError, match="a folder"):
        ArrayRows(path)
    path.rmdir()
    np.save(path, np.zeros((5, 4), dtype=np.float32))
    whole = path.read_bytes()
    for content in (b"", whole[:9], whole[:-1], whole + b"0", b"PK" + whole[2:]):
        path.write_bytes(content)
        with pytest.raises(InvalidGraphError, match=r"x\.npy holds"):
            ArrayRows(path)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    with pytest.raises(InvalidGraphError, match="objects"):
        ArrayRows(tmp_path / "x.npy")


def test_a_file_that_becomes_shorter_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(100))
    rows = ArrayRows(path)
    path.write_bytes(path.read_bytes()[:500])
    assert len(rows[:40]) == 40
    with pytest.raises(InvalidGraphError, match="became shorter"):
        rows[40:100]
