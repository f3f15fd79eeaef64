import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

import mixq_rl
from mixq_rl.datasets.tensor_files import TensorFile
from mixq_rl.errors import InvalidGraphError

LEGACY = {"_use_new_zipfile_serialization": False}
DTYPES = [
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
]


def graph(**changes: Any) -> dict[str, Any]:
    return {"x": torch.ones(9, 2), "edge_index": torch.tensor([[0], [1]]), "y": torch.arange(9) % 2} | changes


def refused(path: Path) -> str:
    with pytest.raises(InvalidGraphError) as error:
        mixq_rl.load_task(str(path))
    assert len(str(error.value)) < 400
    return str(error.value)


def rezipped(path: Path, method: int = zipfile.ZIP_STORED, **records: bytes) -> None:
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w", method) as changed:
        for name in archive.namelist():
            changed.writestr(name, records.get(name.split("/", 1)[1].replace("/", "_"), archive.read(name)))
    path.write_bytes(copy.getvalue())


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_tensors_are_those_of_torch(tmp_path: Path, options: dict[str, Any]) -> None:
    base = torch.arange(24).reshape(4, 6)
    tensors = {str(dtype): (base % 2).to(dtype) for dtype in DTYPES}
    tensors |= {"transposed": base.t(), "part": base[1:3, 2:], "again": base[:, 1], "empty": torch.ones(0, 3)}
    tensors |= {"scalar": torch.tensor(5), "expanded": torch.ones(2, 1).expand(2, 4)}
    tensors |= {"parameter": torch.nn.Parameter(torch.ones(2, 2))}
    if not options:
        tensors |= {"uint16": torch.tensor([7], dtype=torch.uint16)}
    torch.save(OrderedDict(tensors), tmp_path / "g.pt", **options)
    with (tmp_path / "g.pt").open("rb") as file:
        saved = TensorFile(file)
        assert list(saved.value) == list(tensors)
        for name, expected in tensors.items():
            found = saved.tensor(saved.value[name])
            assert found is not None
            assert (found.dtype, found.stride()) == (expected.dtype, expected.stride())
            assert torch.equal(found, expected)


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_what_is_not_read_may_be_anything(tmp_path: Path, options: dict[str, Any]) -> None:
    other = {"name": "a graph", "device": torch.device("cpu"), "path": Path("a"), "sparse": torch.eye(2).to_sparse()}
    torch.save(graph(**other, missing=None), tmp_path / "g.pt", **options)
    assert mixq_rl.load_task(str(tmp_path / "g.pt")).num_nodes == 9


@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize(
    "x",
    [
        torch.ones(2, 2, 2).to_sparse(),
        torch.ones(2, 2, dtype=torch.complex64),
        torch.ones(2, 2, dtype=torch.complex64).conj(),
        [[1.0, 1.0], [1.0]],
        "text",
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, options: dict[str, Any], x: Any) -> None:
    torch.save(graph(x=x), tmp_path / "g.pt", **options)
    assert "x must be a dense, real tensor" in refused(tmp_path / "g.pt")


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_views_count_as_what_they_become(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.save(graph(x=torch.ones(1).expand(10**6, 10**3)), tmp_path / "g.pt", **options)
    assert "tensors of 4,000,000,088 bytes where at most" in refused(tmp_path / "g.pt")
    torch.save(graph(x=torch.ones(1, dtype=torch.bool).expand(10**6, 500)), tmp_path / "g.pt", **options)
    assert "MIXQ_RL_MAX_DATA_BYTES raises this limit" in refused(tmp_path / "g.pt")


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    torch.save(graph(x=torch.zeros(1000, 1000)), tmp_path / "g.pt")
    rezipped(tmp_path / "g.pt", zipfile.ZIP_DEFLATED)
    assert "compressed tensors" in refused(tmp_path / "g.pt")


def test_tensors_greater_than_their_data_are_refused(tmp_path: Path) -> None:
    torch.save(graph(), tmp_path / "g.pt")
    rezipped(tmp_path / "g.pt", data_0=bytes(8))
    assert "greater than its data" in refused(tmp_path / "g.pt")


def test_another_byte_order_is_refused(tmp_path: Path) -> None:
    torch.save(graph(), tmp_path / "g.pt")
    rezipped(tmp_path / "g.pt", byteorder=b"big")
    assert "byte order" in refused(tmp_path / "g.pt")


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    torch.save(graph(), tmp_path / "g.pt", **LEGACY)
    content = (tmp_path / "g.pt").read_bytes()
    for end in (len(content) - 1, len(content) - 100, 200, 30):
        (tmp_path / "g.pt").write_bytes(content[:end])
        refused(tmp_path / "g.pt")
    count = content.rindex((18).to_bytes(8, "little"))
    (tmp_path / "g.pt").write_bytes(content[:count] + b"\xff" * 7 + b"\x7f" + content[count + 8 :])
    assert "without the" in refused(tmp_path / "g.pt")


def test_a_pickle_of_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "100000")
    (tmp_path / "g.pt").write_bytes(b"\x80\x02(" + b"]" * 5000 + b"l.")
    assert "more instructions" in refused(tmp_path / "g.pt")
    (tmp_path / "g.pt").write_bytes(pickle.dumps({"x": 1}))
    assert "not a file of torch.save" in refused(tmp_path / "g.pt") or "damaged" in refused(tmp_path / "g.pt")
