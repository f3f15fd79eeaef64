"""Store of evaluations on disk."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TypeVar

from mixq_rl.datasets.metrics import ACCURACY, metrics
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator, Fingerprinted, check_evaluation
from mixq_rl.quantization import check_bit_widths
from mixq_rl.storage.database import Database
from mixq_rl.storage.reading import parse_json
from mixq_rl.storage.schema import from_plain

__all__ = ["EvaluationStore", "EvaluatorDescription", "fingerprint"]

_VERSION = 1
T = TypeVar("T")
_COLUMNS = (
    "allocation",
    "accuracy",
    "bitops",
    "reduction",
    "product_bitops",
    "product_reduction",
    "bytes",
    "seconds",
    "size",
    "estimate",
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
_UPGRADES = (
    "ALTER TABLE evaluations ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE evaluations ADD COLUMN estimate REAL",
)


@dataclass(frozen=True)
class EvaluatorDescription:
    """Description of an evaluator in a store.

    Attributes:
        name: title for users: ``"gcn on Cora"``.
        components: names of the components.
        bit_widths: bit-widths on offer.
        reference: evaluation of the float32 model.
        reference_accuracy: accuracy of the hypervolume's reference point, usually that of the majority class.
        metric: name of the measure that the accuracies are values of.
    """

    name: str
    components: tuple[str, ...]
    bit_widths: tuple[int, ...]
    reference: Evaluation
    reference_accuracy: float = 0.0
    metric: str = ACCURACY.name

    @classmethod
    def of(
        cls, evaluator: Evaluator, name: str, reference_accuracy: float = 0.0, metric: str = ACCURACY.name
    ) -> "EvaluatorDescription":
        """Return the description of an evaluator."""
        names = tuple(component.name for component in evaluator.components)
        return cls(name, names, tuple(evaluator.bit_widths), evaluator.reference, reference_accuracy, metric)


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

    Additions are on disk when the call returns. Several processes may share the file. All values that are read are
    checked; the message about a wrong value names the file and the row.

    Args:
        path: path of the file, which is created if it does not exist, except for ``read_only``.
        read_only: whether the store is only read, possibly in a folder that cannot be written.

    Raises:
        ArtifactError: for a file that is not a store, is damaged, or has another format version, now or later.
        OSError: if the file cannot be read or written, now or later.
    """

    def __init__(self, path: str | PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._database = Database(self.path, _SCHEMA, _VERSION, upgrades=_UPGRADES, read_only=read_only)

    def describe(self, evaluator: str, description: EvaluatorDescription) -> None:
        """Store the description of an evaluator, given by its fingerprint."""
        self._database.insert(
            "INSERT OR REPLACE INTO problems VALUES (?, ?)", [(evaluator, json.dumps(asdict(description)))]
        )

    def evaluators(self) -> dict[str, EvaluatorDescription]:
        """Return the descriptions of all evaluators, by fingerprint."""
        rows = self._database.rows("SELECT rowid, fingerprint, description FROM problems ORDER BY rowid")
        found = {}
        for row, key, text in rows:
            with self._reading("problems", row):
                found[_plain(key, str)] = _description(_plain(text, str))
        return found

    def add(self, evaluator: str, evaluations: Sequence[Evaluation], seed: int | None = None) -> None:
        """Store evaluations. If an allocation is stored already, its first evaluation is kept."""
        rows = [
            (evaluator, seed, _text(e.allocation), *(getattr(e, column) for column in _COLUMNS[1:]))
            for e in evaluations
        ]
        places = ", ".join("?" * len(rows[0])) if rows else ""
        self._database.insert(
            f"INSERT OR IGNORE INTO evaluations (fingerprint, seed, {', '.join(_COLUMNS)}) VALUES ({places})",  # noqa: S608
            rows,
        )

    def evaluations(self, evaluator: str) -> dict[tuple[int, ...], Evaluation]:
        """Return the evaluations of an evaluator by allocation, in the order in which they were stored."""
        rows = self._database.rows(
            f"SELECT rowid, {', '.join(_COLUMNS)} FROM evaluations WHERE fingerprint = ? ORDER BY rowid",  # noqa: S608
            (evaluator,),
        )
        found = {}
        for row, text, *values in rows:
            with self._reading("evaluations", row):
                allocation = _allocation(_plain(text, str))
                fields = dict(zip(_COLUMNS, (list(allocation), *values), strict=True))
                evaluation = from_plain(fields, Evaluation)
                check_evaluation(evaluation, len(allocation))
                found[allocation] = evaluation
        return found

    def request(self, evaluator: str, search: str, seed: int, allocations: Sequence[Sequence[int]]) -> None:
        """Store the next requests of a search. Allocations that it requested before are ignored."""
        key = {"evaluator": evaluator, "search": search, "seed": seed}
        self._database.insert(
            "INSERT OR IGNORE INTO requests (fingerprint, search, seed, place, allocation) "
            "VALUES (:evaluator, :search, :seed, (SELECT COUNT(*) FROM requests "
            "WHERE fingerprint = :evaluator AND search = :search AND seed = :seed), :allocation)",
            [{**key, "allocation": _text(allocation)} for allocation in allocations],
        )

    def searches(self, evaluator: str) -> dict[tuple[str, int], list[Evaluation]]:
        """Return the distinct evaluations of each search, by name and seed, in the order of the requests."""
        known = self.evaluations(evaluator)
        rows = self._database.rows(
            "SELECT rowid, search, seed, allocation FROM requests WHERE fingerprint = ? ORDER BY search, seed, place",
            (evaluator,),
        )
        found: dict[tuple[str, int], list[Evaluation]] = {}
        for row, search, seed, text in rows:
            with self._reading("requests", row):
                key, allocation = (_plain(search, str), _plain(seed, int)), _allocation(_plain(text, str))
            evaluation = known.get(allocation)
            if evaluation is not None:
                found.setdefault(key, []).append(evaluation)
        return found

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _reading(self, table: str, row: int) -> Iterator[None]:
        try:
            yield
        except (ArtifactError, ValueError) as error:
            raise ArtifactError(f"{self.path} is damaged: row {row} of {table}: {error}") from error


def _text(allocation: Sequence[int]) -> str:
    return " ".join(str(bits) for bits in allocation)


def _allocation(text: str) -> tuple[int, ...]:
    return tuple(int(bits) for bits in text.split())


def _plain(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ArtifactError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _description(text: str) -> EvaluatorDescription:
    description = from_plain(parse_json(text), EvaluatorDescription)
    check_evaluation(description.reference, len(description.components))
    check_bit_widths(description.bit_widths)
    if not 0 <= description.reference_accuracy <= 1:
        raise ArtifactError(f"a reference accuracy of {description.reference_accuracy}")
    metrics[description.metric]  # raises an error for an unknown name
    return description
