"""SQLite file of a fixed schema."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.reading import open_regular

__all__ = ["Database"]

_PATIENCE = 60  # seconds: another process holds the file for milliseconds
_LONGEST_VALUE = 2**24  # bytes
# Reading the schema of an honest file takes some hundred instructions of SQLite. Pages that refer to each other many
# times would take more than can be waited for.
_MOST_INSTRUCTIONS = 1_000_000
_EMPTY = 4096  # bytes: the size of a file without tables
_SMALLEST_ROW = 8  # bytes: less than any row takes
_DAMAGE = (sqlite3.Error, UnicodeDecodeError)  # the message about a damaged schema may hold damaged text

Row = Sequence[Any] | dict[str, Any]


class Database:
    """SQLite file of a fixed schema. Several processes may share it.

    A file with another schema, or with views, triggers or damaged pages, is refused: nothing that a stranger wrote into
    a schema is executed.

    Args:
        path: path of the file. It is created if it does not exist, except for ``read_only``.
        schema: statements that create the tables.
        version: version of the schema, ``PRAGMA user_version``.
        upgrades: statements, each of which turns a file into one of the next version. A file of an earlier version is
            upgraded when it is opened; for ``read_only``, a copy in memory.
        read_only: whether the file is only read. Nothing is then written beside it, so that the folder need not be
            writable.

    Raises:
        ArtifactError: for a damaged file, or one of another schema or version.
        OSError: if the file cannot be read or written, now or later.
    """

    def __init__(
        self, path: Path, schema: str, version: int, *, upgrades: Sequence[str] = (), read_only: bool = False
    ) -> None:
        self.path = path
        self._schema, self._first, self._upgrades = schema, version, tuple(upgrades)
        self._newest = version + len(self._upgrades)
        _check_files(path, read_only)
        try:
            self._connection = _connected(path, read_only)
            self._connection.text_factory = lambda text: text.decode(errors="replace")  # damaged text is compared, too
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._check(read_only)
            if read_only and self._version() < self._newest:
                self._connection = _in_memory(self._connection)
            elif not read_only:
                self._connection.execute("PRAGMA journal_mode = WAL")
            if self._version() < self._newest:
                self._upgrade()
        except sqlite3.OperationalError as error:
            raise self._failed(error) from error
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def rows(self, statement: str, values: Row = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            ArtifactError: if the file is damaged.
        """
        most = _size(self.path) + _size(_beside(self.path, "-wal"))
        try:
            for count, row in enumerate(self._connection.execute(statement, values)):
                if count * _SMALLEST_ROW > most:
                    raise self._damaged("it has more rows than bytes")
                yield row
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Execute a statement for each row, in one transaction.

        Raises:
            OSError: if the file cannot be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise self._failed(error) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __del__(self) -> None:
        # Python 3.13 warns of connections that are left open.
        with suppress(AttributeError, sqlite3.Error):
            self._connection.close()

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _upgrade(self) -> None:
        """Make a new file, or one of an earlier version, one of the newest, in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        own = self._version()  # another process may have upgraded the file meanwhile
        statements = self._schema.split(";") if not own else []
        for statement in (*statements, *self._upgrades[max(own - self._first, 0) :]):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {self._newest}")
        self._connection.execute("COMMIT")

    def _expected(self, version: int) -> set[tuple[Any, ...]]:
        with closing(sqlite3.connect(":memory:")) as pattern:
            pattern.executescript(self._schema)
            for statement in self._upgrades[: max(version - self._first, 0)]:
                pattern.execute(statement)
            return _tables(pattern)

    def _check(self, read_only: bool) -> None:
        try:
            self._connection.set_progress_handler(lambda: True, _MOST_INSTRUCTIONS)  # ends the query
            found, own_version = _tables(self._connection), self._version()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise self._damaged("its pages refer to each other without end") from error
        finally:
            self._connection.set_progress_handler(None, 0)
        expected = self._expected(own_version)
        begun = not own_version and not read_only and found <= expected  # a new file, or its process was killed
        if not self._first <= own_version <= self._newest and not begun:
            raise ArtifactError(
                f"the store {self.path} has format version {own_version}: this one reads {self._newest}"
            )
        if found != expected and not begun:
            raise self._damaged("its tables are not those of a store")
        (reason,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if reason != "ok":
            raise self._damaged(str(reason).splitlines()[-1])

    def _failed(self, error: sqlite3.OperationalError) -> OSError:
        return OSError(f"the store {self.path} cannot be used: {error}")

    def _damaged(self, reason: object) -> ArtifactError:
        return ArtifactError(f"{self.path} is not a store of evaluations, or is damaged: {reason}")


def _connected(path: Path, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    # Without a log no process is writing. SQLite then need not create one, which a read-only folder does not allow.
    mode = "ro" if _size(_beside(path, "-wal")) else "ro&immutable=1"
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy of a checked file in memory, and close the file."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.text_factory = connection.text_factory
    copy.execute("PRAGMA trusted_schema = OFF")
    connection.backup(copy)
    connection.close()
    return copy


def _check_files(path: Path, read_only: bool) -> None:
    """Check the file, and those that SQLite keeps beside it, before SQLite opens them.

    A rollback journal may name any file, which SQLite then removes. A store has a journal only for a moment, while it
    is created.
    """
    journal = _beside(path, "-journal")
    if journal.exists() and not read_only and _size(path) <= _EMPTY:
        journal.unlink()
        path.unlink(missing_ok=True)
    if os.path.lexists(journal):
        raise ArtifactError(f"{journal} does not belong to a store of evaluations: it is not opened; remove this file")
    for file in (path, _beside(path, "-wal"), _beside(path, "-shm")):
        if (read_only and file == path) or os.path.lexists(file):
            with open_regular(file):
                pass


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tables(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    """Return the schema, without the indices that SQLite makes for keys."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
