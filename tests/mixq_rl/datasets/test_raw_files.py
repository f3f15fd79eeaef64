"""What a stranger's raw files may not be, through the loaders that read them."""

import gzip
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.datasets.raw_files import copy_checked
from mixq_rl.errors import DataNotFoundError, InvalidGraphError
from tests.hostile.honest_files import KINDS

DAMAGED = (DataNotFoundError, InvalidGraphError)


def written(kind: str, root: Path) -> list[Path]:
    KINDS[kind].write(root)
    return [root / name for name in KINDS[kind].damaged]


def refused(kind: str, root: Path) -> str:
    with pytest.raises(DAMAGED) as error:
        mixq_rl.load_task(KINDS[kind].dataset, root)
    assert len(str(error.value)) < len(str(root)) + 400
    assert str(error.value).isprintable()
    return str(error.value)


def changed_npz(path: Path, **changes: Any) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **(arrays | changes))


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [named_pipe, endless_device, folder])
@pytest.mark.parametrize(
    "kind", ["Planetoid's pickles", "Twitch", "Flickr's array", "Flickr's JSON", "GNNBenchmark", "TUDataset"]
)
def test_only_regular_files_are_read(tmp_path: Path, kind: str, make: Callable[[Path], None]) -> None:
    path = written(kind, tmp_path)[0]
    path.unlink()
    make(path)
    assert "not a file" in refused(kind, tmp_path)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("Twitch", tmp_path)[0]
    path.unlink()
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
        refused("Twitch", tmp_path)


@pytest.mark.parametrize("kind", ["Planetoid's pickles", "Twitch", "Flickr's JSON", "GNNBenchmark", "TUDataset"])
def test_symbolic_links_are_read(tmp_path: Path, kind: str) -> None:
    for path in written(kind, tmp_path):
        shutil.move(path, tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    assert mixq_rl.load_task(KINDS[kind].dataset, tmp_path).num_nodes


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    (path,) = written("Twitch", tmp_path)
    changed_npz(path, target=np.array([None] * 30))
    assert "an array target of objects" in refused("Twitch", tmp_path)


def test_entries_that_nobody_needs_are_not_copied(tmp_path: Path) -> None:
    (path,) = written("Amazon", tmp_path)
    changed_npz(path, class_names=np.array(["a", None], dtype=object))
    target = tmp_path / "copy"
    target.mkdir()
    copy_checked([path], target)
    with np.load(target / path.name, allow_pickle=False) as copied, np.load(path) as original:
        assert set(original.files) - set(copied.files) == {"class_names"}
        assert all(np.array_equal(copied[name], original[name]) for name in copied.files)


@pytest.mark.parametrize(
    "changes",
    [
        {"attr_indices": np.full(5, 2**30)},
        {"attr_indices": np.full(5, -1)},
        {"adj_indptr": np.arange(121) * 10**6},
        {"attr_shape": np.array([120, 10**9])},
        {"attr_shape": np.array([10**9, 5])},
        {"labels": np.full(120, 10**12)},
        {"labels": np.zeros(0, dtype=int)},
        {"labels": np.array(1)},
    ],
)
def test_matrices_and_classes_out_of_bounds_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    (path,) = written("Amazon", tmp_path)
    changed_npz(path, **changes)
    refused("Amazon", tmp_path)


def test_features_that_would_fill_the_memory_name_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = written("Amazon", tmp_path)
    changed_npz(path, attr_shape=np.array([120, 10**8]))
    assert "MIXQ_RL_MAX_DATA_BYTES raises this limit" in refused("Amazon", tmp_path)
    changed_npz(path, attr_shape=np.array([120, 10**3]))
    assert mixq_rl.load_task("Photo", tmp_path).num_features == 1000
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "100000")
    refused("Amazon", tmp_path)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("node_labels", "1000000000\n" + "0\n" * 23),
        ("graph_indicator", "1\n" * 23 + "1000000000\n"),
        ("graph_indicator", "0\n" * 24),
        ("A", "1, 10000000000\n"),
        ("A", "10000000000, 1\n"),
        ("A", "1, -5\n"),
        ("graph_labels", ""),
        ("node_attributes", "x" * 100_000 + "\n"),
    ],
)
def test_numbers_in_texts_fill_no_memory(tmp_path: Path, part: str, text: str) -> None:
    path = next(path for path in written("TUDataset", tmp_path) if path.name == f"MUTAG_{part}.txt")
    path.write_text(text)
    refused("TUDataset", tmp_path)


def test_test_nodes_fill_no_memory(tmp_path: Path) -> None:
    (path,) = written("Planetoid's test nodes", tmp_path)
    path.write_text("512\n10000000000\n")
    refused("Planetoid's test nodes", tmp_path)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = written("Flickr's JSON", tmp_path)[0]
    path.write_text("[" * 900 + "]" * 900)
    assert "nest" in refused("Flickr's JSON", tmp_path)
    path.write_text("[" + "[]," * 2000 + "[]]")
    assert "more than 1000 lists" in refused("Flickr's JSON", tmp_path)
    path.write_text(json.dumps({"0": 10**12, "1": 0}))
    refused("Flickr's JSON", tmp_path)


@pytest.mark.parametrize(
    "graphs",
    [
        [torch.ones(1)],
        ([{"x": torch.ones(1, 1)}], [], []),
        (
            [{"x": torch.ones(1).expand(10**6, 10**6)} | dict.fromkeys(("pos", "edge_index", "y"), torch.ones(1))],
            [],
            [],
        ),
        ([dict.fromkeys(("x", "pos", "edge_index", "y"), torch.eye(3).to_sparse())], [], []),
        ([dict.fromkeys(("x", "pos", "edge_index", "y"), (1, 2))], [], []),
        ([], [], []),
    ],
)
def test_images_of_anything_but_tensors_are_refused(tmp_path: Path, graphs: Any) -> None:
    (path,) = written("GNNBenchmark", tmp_path)
    torch.save(graphs, path)
    refused("GNNBenchmark", tmp_path)


def test_compressed_text_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "1000000")
    (tmp_path / "copy").mkdir()
    path = tmp_path / "edge.csv.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(2):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"edge\.csv\.gz holds at least a text of .* MIXQ_RL_MAX_DATA_BYTES"):
        copy_checked([path], tmp_path / "copy")


def test_files_of_an_unknown_kind_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "file.pkl").touch()
    with pytest.raises(ValueError, match="unknown kind"):
        copy_checked([tmp_path / "file.pkl"], tmp_path)


def test_the_real_facebook_graph_is_copied_bit_for_bit(tmp_path: Path, data_root: Path) -> None:
    path = data_root / "facebook" / "raw" / "facebook.npz"
    copy_checked([path], tmp_path)
    with np.load(path) as original, np.load(tmp_path / path.name) as copied:
        assert sorted(original.files) == sorted(copied.files)
        assert all(original[name].tobytes() == copied[name].tobytes() for name in original.files)
