import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.limits import DOCUMENT, NESTING
from mixq_rl.storage.reading import open_regular, parse_json, read_json, read_regular


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
@pytest.mark.parametrize("follow", [False, True])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, follow: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        working_directory = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket may have some 100 characters only
        server.bind("socket")
        os.chdir(working_directory)
        (tmp_path / "folder").mkdir()
        strange = {
            "a named pipe": tmp_path / "pipe",
            "a socket": tmp_path / "socket",
            "a folder": tmp_path / "folder",
            "a device": Path("/dev/zero"),
        }
        for kind, path in strange.items():
            with pytest.raises(ArtifactError, match=f"{path} is {kind}, not a file"):
                open_regular(path, follow=follow)


def test_links_are_followed_on_request_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", DOCUMENT, follow=True) == b"1"
    with pytest.raises(ArtifactError, match="link is a symbolic link, not a file"):
        read_regular(tmp_path / "link", DOCUMENT)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DOCUMENT.variable, "4")
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(ArtifactError, match=f"has 5 bytes where at most 4 are read: {DOCUMENT.variable} raises"):
        read_json(tmp_path / "file")
    monkeypatch.setenv(DOCUMENT.variable, "5")
    assert read_json(tmp_path / "file") == 12345


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "file")


@given(st.integers(1, 150), st.sampled_from(["[", '{"a":']))
def test_json_is_read_up_to_a_depth(depth: int, opening: str) -> None:
    text = opening * depth + "1" + ("]" if opening == "[" else "}") * depth
    if depth <= NESTING.value:
        parse_json(text)
        return
    with pytest.raises(ArtifactError, match=rf"{depth} levels of nesting .* {NESTING.variable} raises"):
        parse_json(text)


def test_brackets_without_end_are_refused() -> None:
    with pytest.raises(ArtifactError, match="nested too deeply"):
        parse_json("[" * 100_000)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "-1e999", '{"a": [1e400]}', "", "nothing", b"\xff"])
def test_what_is_no_number_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
