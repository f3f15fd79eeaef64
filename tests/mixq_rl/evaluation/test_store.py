import copy
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription, fingerprint
from tests.lookup_table import LookupTable

TWO, FOUR = (2, 2, 2, 2), (4, 4, 4, 4)


def test_searches_keep_their_order_whatever_they_repeat(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "store.sqlite")
    stored = Ledger(LookupTable(), store=store)
    store.describe(stored.fingerprint, EvaluatorDescription.of(stored, "a table", 0.25))
    two, four = stored.evaluate([TWO, FOUR])
    for _ in range(2):
        store.request(stored.fingerprint, "random", 0, [FOUR])
        store.request(stored.fingerprint, "random", 0, [TWO])
    store.request(stored.fingerprint, "tpe", 5, [TWO])
    assert store.searches(stored.fingerprint) == {("random", 0): [four, two], ("tpe", 5): [two]}
    (problem,) = store.evaluators().values()
    assert problem == EvaluatorDescription.of(stored, "a table", 0.25)


def test_fingerprints_tell_evaluators_apart(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    def made(seed: int = 0, bits: tuple[int, ...] = (2, 4)) -> str:
        return mixq_rl.PostTrainingEvaluator(float_model, task, bit_widths=bits, seed=seed).fingerprint

    assert made() == made()
    assert len({made(), made(bits=(2, 8)), made(seed=1), evaluator.fingerprint, fingerprint(LookupTable())}) == 5
    assert fingerprint(Ledger(evaluator)) == evaluator.fingerprint
    other = copy.copy(LookupTable())
    other.bit_widths = (2, 4)
    assert fingerprint(other) != fingerprint(LookupTable())


def test_files_that_are_no_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 20)
    with pytest.raises(ArtifactError, match="is not a store of evaluations"):
        EvaluationStore(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "newer")) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(ArtifactError, match="format version 9"):
        EvaluationStore(tmp_path / "newer")


def test_estimates_are_kept_and_older_files_have_none(tmp_path: Path) -> None:
    path, estimated = tmp_path / "store.sqlite", Evaluation((2,), 0.5, 8.0, 2.0, 8.0, 2.0, estimate=0.25)
    with closing(EvaluationStore(path)) as store:
        store.add("f", [estimated])
        assert store.evaluations("f") == {(2,): estimated}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE evaluations DROP COLUMN estimate")
        connection.execute("PRAGMA user_version = 2")
    with closing(EvaluationStore(path)) as store:
        assert store.evaluations("f") == {(2,): replace(estimated, estimate=None)}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE evaluations SET estimate = 1.5")
    with (
        closing(EvaluationStore(path)) as store,
        pytest.raises(ArtifactError, match=r"the estimate of .* out of bounds"),
    ):
        store.evaluations("f")


def test_many_requests_are_stored_at_once(tmp_path: Path) -> None:
    requested = [tuple(1 + int(bit) for bit in f"{number:012b}") for number in range(3000)]
    with closing(EvaluationStore(tmp_path / "store.sqlite")) as store:
        store.add("f", [Evaluation(allocation, 0.5, 8.0, 2.0, 8.0, 2.0) for allocation in requested])
        store.request("f", "random", 0, requested)
        (found,) = store.searches("f").values()
    assert [evaluation.allocation for evaluation in found] == requested
