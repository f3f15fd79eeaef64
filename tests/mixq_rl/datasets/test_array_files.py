import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixq_rl
from mixq_rl.datasets.array_files import ArrayArchive
from mixq_rl.errors import InvalidGraphError


def header(text: str, version: bytes = b"\1\0", length: int | None = None) -> bytes:
    size = len(text) if length is None else length
    return b"\x93NUMPY" + version + size.to_bytes(2 if version == b"\1\0" else 4, "little") + text.encode()


def described(descr: str = "'<f4'", shape: str = "(2, 2)", content: bytes = bytes(16)) -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n") + content


def archive(*records: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name, content in records:
            written.writestr(name, content)
    return file.getvalue()


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InvalidGraphError) as error:
        mixq_rl.load_task(str(path))
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()
    return str(error.value)


def test_plain_arrays_are_those_of_numpy(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "float": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 4)),
        "scalar": np.array(True),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", unread=np.array([None]), **arrays)
        with (tmp_path / "a.npz").open("rb") as file:
            found = ArrayArchive(file, (tmp_path / "a.npz").stat().st_size, list(arrays))
            assert set(found.names) == {*arrays, "unread"}
            for name, array in arrays.items():
                assert np.array_equal(found.read(name), array)
                assert found.read(name).dtype == array.dtype


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (described(shape="(2, 3)"), "shape does not fit"),
        (described(shape="(4294967296, 4294967296, 2)"), "shape does not fit"),
        (described(shape="(-2, -2)"), "damaged shape"),
        (described(shape="(1,) * 9"), "damaged header"),
        (described(shape="(" + "1, " * 9 + ")", content=bytes(4)), "damaged shape"),
        (described(shape="('a',)"), "damaged header"),
        (described(descr="'|O'"), "of objects"),
        (described(descr="'<U4'"), "other values than numbers"),
        (described(descr="[('a', '<f4')]"), "other values than numbers"),
        (described(descr="('<f4', (2, 2))"), "header|numbers|shape"),
        (described(descr="'<c8'", content=bytes(32)), "x must be a dense, real tensor"),
        (header("(" * 9000), "damaged header"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}"), "does not fit"),
        (header("-" * 9000 + "1"), "damaged header"),
        (header(" " * 20_000), "damaged header"),
        (header("{}", b"\2\0", 2**32 - 1), "damaged header"),
        (header("{}", b"\3\0"), "damaged header"),
        (header("{}", b"\x09\0"), "damaged header"),
        (b"text", "no array"),
        (b"", "no array"),
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, record: bytes, message: str) -> None:
    found = refused(tmp_path / "g.npz", archive(("x.npy", record)))
    assert any(part in found for part in message.split("|")), found


def test_much_in_little_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "1000000")
    records = [(f"{name}.npy", described(shape="(400, 400)", content=bytes(640_000))) for name in ("x", "edge_weight")]
    bomb = archive(*records, method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    assert "MIXQ_RL_MAX_DATA_BYTES raises this limit" in refused(tmp_path / "g.npz", bomb)


def test_an_honest_file_is_read_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = {"x": np.ones((50, 50)), "edge_index": np.zeros((2, 1), dtype=int), "y": np.arange(50) % 2}
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "100")
    np.savez(tmp_path / "g.npz", **graph)
    assert mixq_rl.load_task(str(tmp_path / "g.npz")).num_nodes == 50
    np.savez_compressed(tmp_path / "g.npz", **graph)
    with pytest.raises(InvalidGraphError, match=r"g\.npz holds arrays of .* MIXQ_RL_MAX_DATA_BYTES raises"):
        mixq_rl.load_task(str(tmp_path / "g.npz"))


def test_values_count_as_what_they_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = {"x": np.ones((50, 50), dtype=np.uint8), "edge_index": np.zeros((2, 1), dtype=int), "y": np.arange(50) % 2}
    np.savez(tmp_path / "g.npz", **graph)
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "9000")
    with pytest.raises(InvalidGraphError, match=r"arrays of 10,416 bytes where at most 9,000 are read"):
        mixq_rl.load_task(str(tmp_path / "g.npz"))


def test_names_cannot_flood_a_message(tmp_path: Path) -> None:
    empty = described(shape="(0,)", content=b"")
    names = [f"{'n' * 60_000}{number}.npy" for number in range(20)]
    found = refused(tmp_path / "g.npz", archive(("\x1b[2J\n.npy", empty), *((name, empty) for name in names)))
    assert "missing; it holds \\x1b[2J\\n, nnn" in found


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused(tmp_path: Path) -> None:
    record = described()
    assert "same name" in refused(tmp_path / "g.npz", archive(("x.npy", record), ("x.npy", record)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path: Path, method: int) -> None:
    assert "compressed in another way" in refused(tmp_path / "g.npz", archive(("x.npy", described()), method=method))
