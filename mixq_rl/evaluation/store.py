"""Store of evaluations on disk."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator, Fingerprinted

__all__ = ["EvaluationStore", "EvaluatorDescription", "fingerprint"]

_VERSION = 1
_COLUMNS = (
    "allocation",
    "accuracy",
    "bitops",
    "reduction",
    "product_bitops",
    "product_reduction",
    "bytes",
    "seconds",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS problems (fingerprint TEXT PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS evaluations (
    fingerprint TEXT NOT NULL, allocation TEXT NOT NULL, seed INTEGER, accuracy REAL NOT NULL, bitops REAL NOT NULL,
    reduction REAL NOT NULL, product_bitops REAL NOT NULL, product_reduction REAL NOT NULL, bytes INTEGER NOT NULL,
    seconds REAL NOT NULL, PRIMARY KEY (fingerprint, allocation));
CREATE TABLE IF NOT EXISTS requests (
    fingerprint TEXT NOT NULL, search TEXT NOT NULL, seed INTEGER NOT NULL, place INTEGER NOT NULL,
    allocation TEXT NOT NULL, PRIMARY KEY (fingerprint, search, seed, allocation));
"""


@dataclass(frozen=True)
class EvaluatorDescription:
    """Description of an evaluator in a store.

    Attributes:
        name: title for users: ``"gcn on Cora"``.
        components: names of the components.
        bit_widths: bit-widths on offer.
        reference: evaluation of the float32 model.
        reference_accuracy: accuracy of the hypervolume's reference point, usually that of the majority class.
    """

    name: str
    components: tuple[str, ...]
    bit_widths: tuple[int, ...]
    reference: Evaluation
    reference_accuracy: float = 0.0

    @classmethod
    def of(cls, evaluator: Evaluator, name: str, reference_accuracy: float = 0.0) -> "EvaluatorDescription":
        """Return the description of an evaluator."""
        names = tuple(component.name for component in evaluator.components)
        return cls(name, names, tuple(evaluator.bit_widths), evaluator.reference, reference_accuracy)


def fingerprint(evaluator: Evaluator) -> str:
    """Return the identity of an evaluator: its own fingerprint, or a hash of its components and reference.

    Evaluators that differ only in their evaluations, such as lookup tables of the same components, have to be
    :class:`~mixq_rl.evaluation.protocol.Fingerprinted`.
    """
    if isinstance(evaluator, Fingerprinted):
        return evaluator.fingerprint
    reference = evaluator.reference
    content = [
        type(evaluator).__qualname__,
        [[c.name, c.kind, c.layer, list(c.shape), c.macs, dict(c.statistics)] for c in evaluator.components],
        list(evaluator.bit_widths),
        [reference.accuracy, reference.bitops, reference.product_bitops],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class EvaluationStore:
    """SQLite file with evaluations, and with the requests of each search.

    Additions are on disk when the call returns. Several processes may share the file.

    Args:
        path: path of the file, which is created if it does not exist.

    Raises:
        ArtifactError: for a file that is not a store, or has another format version.
        OSError: if the file cannot be written, now or later.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise ArtifactError(f"the store {self.path} has format version {version}: this one reads {_VERSION}")
            if version != _VERSION:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.OperationalError as error:
            raise self._unwritable(error) from error
        except sqlite3.Error as error:
            raise ArtifactError(f"{self.path} is not a store of evaluations: {error}") from error

    def describe(self, evaluator: str, description: EvaluatorDescription) -> None:
        """Store the description of an evaluator, given by its fingerprint."""
        self._execute("INSERT OR REPLACE INTO problems VALUES (?, ?)", [(evaluator, json.dumps(asdict(description)))])

    def evaluators(self) -> dict[str, EvaluatorDescription]:
        """Return the descriptions of all evaluators, by fingerprint."""
        rows = self._connection.execute("SELECT fingerprint, description FROM problems ORDER BY rowid")
        return {key: _problem(json.loads(text)) for key, text in rows}

    def add(self, evaluator: str, evaluations: Sequence[Evaluation], seed: int | None = None) -> None:
        """Store evaluations. If an allocation is stored already, its first evaluation is kept."""
        rows = [
            (evaluator, seed, _text(e.allocation), *(getattr(e, column) for column in _COLUMNS[1:]))
            for e in evaluations
        ]
        places = ", ".join("?" * len(rows[0])) if rows else ""
        self._execute(
            f"INSERT OR IGNORE INTO evaluations (fingerprint, seed, {', '.join(_COLUMNS)}) VALUES ({places})",  # noqa: S608
            rows,
        )

    def evaluations(self, evaluator: str) -> dict[tuple[int, ...], Evaluation]:
        """Return the evaluations of an evaluator by allocation, in the order in which they were stored."""
        rows = self._connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM evaluations WHERE fingerprint = ? ORDER BY rowid",  # noqa: S608
            (evaluator,),
        )
        found = (Evaluation(_allocation(text), *values) for text, *values in rows)
        return {evaluation.allocation: evaluation for evaluation in found}

    def request(self, evaluator: str, search: str, seed: int, allocations: Sequence[Sequence[int]]) -> None:
        """Store the next requests of a search. Allocations that it requested before are ignored."""
        key = {"evaluator": evaluator, "search": search, "seed": seed}
        self._execute(
            "INSERT OR IGNORE INTO requests (fingerprint, search, seed, place, allocation) "
            "VALUES (:evaluator, :search, :seed, (SELECT COUNT(*) FROM requests "
            "WHERE fingerprint = :evaluator AND search = :search AND seed = :seed), :allocation)",
            [{**key, "allocation": _text(allocation)} for allocation in allocations],
        )

    def searches(self, evaluator: str) -> dict[tuple[str, int], list[Evaluation]]:
        """Return the distinct evaluations of each search, by name and seed, in the order of the requests."""
        known = self.evaluations(evaluator)
        rows = self._connection.execute(
            "SELECT search, seed, allocation FROM requests WHERE fingerprint = ? ORDER BY search, seed, place",
            (evaluator,),
        )
        found: dict[tuple[str, int], list[Evaluation]] = {}
        for search, seed, text in rows:
            evaluation = known.get(_allocation(text))
            if evaluation is not None:
                found.setdefault((search, seed), []).append(evaluation)
        return found

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __del__(self) -> None:
        # Python 3.13 warns of connections that are left open.
        with suppress(AttributeError, sqlite3.Error):
            self._connection.close()

    def _execute(self, statement: str, rows: Sequence[tuple[Any, ...] | dict[str, Any]]) -> None:
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
            raise self._unwritable(error) from error

    def _unwritable(self, error: sqlite3.OperationalError) -> OSError:
        return OSError(f"the store {self.path} cannot be written: {error}")


def _text(allocation: Sequence[int]) -> str:
    return " ".join(str(bits) for bits in allocation)


def _allocation(text: str) -> tuple[int, ...]:
    return tuple(int(bits) for bits in text.split())


def _problem(content: dict[str, Any]) -> "EvaluatorDescription":
    reference = {**content["reference"], "allocation": tuple(content["reference"]["allocation"])}
    return EvaluatorDescription(
        name=content["name"],
        components=tuple(content["components"]),
        bit_widths=tuple(content["bit_widths"]),
        reference=Evaluation(**reference),
        reference_accuracy=content["reference_accuracy"],
    )
