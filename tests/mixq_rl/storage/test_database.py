import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS toys (name TEXT PRIMARY KEY, price REAL NOT NULL);"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with closing(Database(tmp_path / "toys.sqlite", SCHEMA, 3)) as database:
        database.insert("INSERT INTO toys VALUES (?, ?)", [("ball", 1.5), ("car", 2.0)])
    yield tmp_path / "toys.sqlite"
    if os.name == "posix":
        tmp_path.chmod(0o755)


def names(path: Path, *, read_only: bool = False) -> list[str]:
    with closing(Database(path, SCHEMA, 3, read_only=read_only)) as database:
        return [name for (name,) in database.rows("SELECT name FROM toys ORDER BY rowid")]


def altered(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_rows_are_kept(path: Path) -> None:
    assert names(path) == names(path, read_only=True) == ["ball", "car"]


def test_reading_leaves_nothing_beside_the_file(path: Path) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    names(path, read_only=True)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_being_written_is_read(path: Path) -> None:
    with closing(Database(path, SCHEMA, 3)) as writer:
        writer.insert("INSERT INTO toys VALUES (?, ?)", [("doll", 3.0)])
        assert names(path, read_only=True) == ["ball", "car", "doll"]


def test_reading_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Database(tmp_path / "none.sqlite", SCHEMA, 3, read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW others AS SELECT 1",
        "CREATE TRIGGER sly AFTER INSERT ON toys BEGIN DELETE FROM toys; END",
        "CREATE TABLE more (a)",
        "CREATE INDEX prices ON toys (price)",
        "DROP TABLE toys",
        "ALTER TABLE toys ADD COLUMN colour TEXT",
    ],
)
def test_other_tables_are_refused(path: Path, statement: str, read_only: bool) -> None:
    altered(path, statement)
    with pytest.raises(ArtifactError, match="its tables are not those of a store"):
        Database(path, SCHEMA, 3, read_only=read_only)


def test_a_view_in_place_of_the_table_is_not_executed(path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS name, i AS price FROM n"
    altered(path, "DROP TABLE toys", f"CREATE VIEW toys AS {endless}")
    with pytest.raises(ArtifactError, match="its tables are not those of a store"):
        names(path, read_only=True)


def test_the_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    altered(path, "CREATE TABLE addresses (street TEXT)")
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="has format version 0"):
        Database(path, SCHEMA, 3)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_which_could_remove_any_file_is_not_opened(path: Path) -> None:
    journal = path.with_name(f"{path.name}-journal")
    journal.write_bytes(b"anything")
    for read_only in (False, True):
        with pytest.raises(ArtifactError, match=r"toys.sqlite-journal does not belong to a store .* remove this file"):
            Database(path, SCHEMA, 3, read_only=read_only)
    assert journal.exists()


def test_a_file_whose_process_was_killed_while_it_was_created_is_created_anew(tmp_path: Path) -> None:
    (tmp_path / "toys.sqlite").write_bytes(b"")
    (tmp_path / "toys.sqlite-journal").write_bytes(b"begun")
    assert names(tmp_path / "toys.sqlite") == []
    assert not (tmp_path / "toys.sqlite-journal").exists()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_links_are_refused(path: Path, ending: str) -> None:
    elsewhere = path.parent / "elsewhere"
    linked = path.with_name(path.name + ending)
    shutil.copy(path, elsewhere) if not ending else elsewhere.write_bytes(b"")
    linked.unlink(missing_ok=True)
    linked.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    for read_only in (False, True):
        with pytest.raises(ArtifactError, match="is a symbolic link, not a file"):
            Database(path, SCHEMA, 3, read_only=read_only)
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_damaged_pages_are_found(path: Path, read_only: bool) -> None:
    whole = path.read_bytes()
    refused = 0
    for start in range(0, len(whole), 97):
        path.write_bytes(whole[:start] + b"\xa5" * 64 + whole[start + 64 :])
        try:
            names(path, read_only=read_only)
        except (ArtifactError, OSError):
            refused += 1
        path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    assert refused > 5
