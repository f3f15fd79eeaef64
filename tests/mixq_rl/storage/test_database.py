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


def test_pages_that_refer_to_each_other_end_at_once(path: Path) -> None:
    """The rows of the schema are a page with 8,000 children, all the same leaf: read one by one, it takes minutes."""
    path.unlink()
    page_size = 65536
    altered(path, f"PRAGMA page_size = {page_size}", SCHEMA, "PRAGMA user_version = 3")
    content = bytearray(path.read_bytes())
    pages = len(content) // page_size
    first, leaf, interior = content[:page_size], pages + 2, pages + 3
    entries = [bytes(first[slice(*_cell(first, index))]) for index in range(int.from_bytes(first[103:105], "big"))]
    repeated = next(entry for entry in entries if b"sqlite_autoindex" in entry)
    root = _page(page_size, 5, [_child(pages + 1), *[_child(interior)] * 7000], 100, last=interior)
    root[:100] = first[:100]
    root[28:32] = (pages + 3).to_bytes(4, "big")
    leaves = _page(page_size, 13, entries), _page(page_size, 13, [repeated] * 600)
    below = _page(page_size, 5, [_child(leaf)] * 8000, last=leaf)
    path.write_bytes(bytes(root) + bytes(content[page_size:]) + b"".join(map(bytes, (*leaves, below))))
    for read_only in (False, True):
        with pytest.raises(ArtifactError, match="its pages refer to each other without end"):
            Database(path, SCHEMA, 3, read_only=read_only)


def _child(page: int) -> bytes:
    return page.to_bytes(4, "big") + b"\x01"


def _cell(first: bytearray, index: int) -> tuple[int, int]:
    """Return where a cell of the first page begins and ends; its header is that of a leaf."""
    begin = int.from_bytes(first[108 + 2 * index : 110 + 2 * index], "big")
    size, rest = first[begin], begin + 1
    if size > 127:
        size, rest = ((size & 127) << 7) | first[begin + 1], begin + 2
    return begin, rest + 1 + size


def _page(size: int, kind: int, cells: list[bytes], header: int = 0, last: int | None = None) -> bytearray:
    """Return a page of a b-tree: a leaf (13), or an interior page (5) with its last child."""
    page, place = bytearray(size), size
    pointers = header + (8 if last is None else 12)
    for index, cell in enumerate(cells):
        place -= len(cell)
        page[place : place + len(cell)] = cell
        page[pointers + 2 * index : pointers + 2 * index + 2] = place.to_bytes(2, "big")
    page[header] = kind
    page[header + 3 : header + 5] = len(cells).to_bytes(2, "big")
    page[header + 5 : header + 7] = (place % 65536).to_bytes(2, "big")
    if last is not None:
        page[header + 8 : header + 12] = last.to_bytes(4, "big")
    return page


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_an_earlier_version_is_upgraded(path: Path, read_only: bool) -> None:
    upgrades = ("ALTER TABLE toys ADD COLUMN weight INTEGER NOT NULL DEFAULT 7",)
    before = path.read_bytes()
    for _ in range(2):
        with closing(Database(path, SCHEMA, 3, upgrades=upgrades, read_only=read_only)) as database:
            assert list(database.rows("SELECT name, weight FROM toys")) == [("ball", 7), ("car", 7)]
    if read_only:
        assert path.read_bytes() == before
    else:
        with pytest.raises(ArtifactError, match="format version 4: this one reads 3"):
            Database(path, SCHEMA, 3)


def test_a_new_file_has_the_upgraded_schema(tmp_path: Path) -> None:
    upgrades = ("ALTER TABLE toys ADD COLUMN weight INTEGER NOT NULL DEFAULT 7",)
    with closing(Database(tmp_path / "new.sqlite", SCHEMA, 3, upgrades=upgrades)) as database:
        database.insert("INSERT INTO toys VALUES (?, ?, ?)", [("ball", 1.5, 2)])
    with closing(Database(tmp_path / "new.sqlite", SCHEMA, 3, upgrades=upgrades, read_only=True)) as database:
        assert list(database.rows("SELECT weight FROM toys")) == [(2,)]
