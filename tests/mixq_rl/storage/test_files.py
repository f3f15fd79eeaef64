import errno
from pathlib import Path

import pytest

from mixq_rl.storage.files import draft_beside, replace_file, replacing_folder, sweep_drafts


def refuse(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "somewhere else")


@pytest.mark.parametrize("content", ["text ×", b"\x00\x01"])
def test_a_file_is_replaced(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        replace_file(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left on device") as caught:
        replace_file(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    for name in ("one", "two"):
        with replacing_folder(path) as draft:
            (draft / name).write_text(name)
            assert not (path / name).exists()
        assert [entry.name for entry in path.iterdir()] == [name]
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_folder_stays_when_writing_it_anew_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "folder"
    with replacing_folder(path) as draft:
        (draft / "old").touch()

    def write() -> None:
        with replacing_folder(path) as draft:
            (draft / "new").touch()
            raise error

    with pytest.raises(type(error)):
        write()
    assert [entry.name for entry in path.iterdir()] == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    with replacing_folder(path) as draft:
        (draft / "old").touch()
    rename, calls = Path.rename, []

    def fails_once(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            refuse()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(OSError, match="No space left"), replacing_folder(path) as draft:
        (draft / "new").touch()
    assert [entry.name for entry in path.iterdir()] == ["old"]


def test_drafts_of_killed_processes_are_swept_and_nothing_else(tmp_path: Path) -> None:
    draft_beside(tmp_path / "config.json").write_text("half")
    draft_beside(tmp_path / "policy").mkdir()
    (tmp_path / ".hidden").write_text("a user's")
    (tmp_path / "config.json").write_text("{}")
    sweep_drafts(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {".hidden", "config.json"}
    sweep_drafts(tmp_path / "not there")


@pytest.mark.parametrize("path", [Path(), Path("/")])
def test_a_folder_is_not_replaced_by_a_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").touch()
    with pytest.raises(IsADirectoryError):
        replace_file(path, "nothing")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


def test_the_root_is_not_replaced() -> None:
    with pytest.raises(IsADirectoryError), replacing_folder(Path("/")):
        pass
