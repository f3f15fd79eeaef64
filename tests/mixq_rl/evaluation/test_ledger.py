import itertools
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.errors import BitWidthError, EvaluationError
from mixq_rl.evaluation.ledger import BudgetSpent, Ledger
from mixq_rl.evaluation.protocol import Evaluation, Fingerprinted, Seeded, Streaming
from mixq_rl.evaluation.store import EvaluationStore, fingerprint
from tests.lookup_table import LookupTable, PatchyTable

TWO, FOUR = (2, 2, 2, 2), (4, 4, 4, 4)


def test_each_allocation_is_evaluated_once(evaluator: mixq_rl.SupernetEvaluator) -> None:
    asked: list[tuple[int, ...]] = []

    class Counting:
        components = evaluator.components
        bit_widths = evaluator.bit_widths
        reference = evaluator.reference

        def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[mixq_rl.Evaluation]:
            asked.extend(tuple(allocation) for allocation in allocations)
            return evaluator.evaluate(allocations)

    assert isinstance(Counting(), mixq_rl.Evaluator)
    ledger = Ledger(Counting())
    two, four = (2,) * 9, (4,) * 9
    first = ledger.evaluate([two, four, two])
    again = ledger.evaluate([four, two])
    assert asked == [two, four]
    assert first[0] is first[2] is again[1]
    assert list(ledger.evaluations) == [two, four]
    assert ledger.hits == 3


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        ([2] * 8, "8 bit-widths for 9 components"),
        ([2, 3] + [2] * 7, r"bit-width 3 of component 'conv1.weight' is not among \(2, 4, 8\)"),
    ],
)
def test_refuses_wrong_allocations_before_any_is_evaluated(
    evaluator: mixq_rl.SupernetEvaluator, allocation: Sequence[int], message: str
) -> None:
    ledger = Ledger(evaluator)
    with pytest.raises(BitWidthError, match=message):
        ledger.evaluate([[2] * 9, allocation])
    assert not ledger.evaluations


def test_nothing_is_evaluated_twice_across_processes(tmp_path: Path) -> None:
    table = LookupTable()
    first = Ledger(table, store=EvaluationStore(tmp_path / "store.sqlite"))
    made = first.evaluate([TWO, FOUR, TWO])
    again = Ledger(table, store=EvaluationStore(tmp_path / "store.sqlite"))
    assert again.evaluate([FOUR, TWO]) == [made[1], made[0]]
    assert (first.made, again.made) == (2, 0)
    assert table.calls == [2]
    assert list(again.evaluations) == [FOUR, TWO]


def test_evaluations_come_back_as_they_were(evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path) -> None:
    stored = Ledger(evaluator, store=EvaluationStore(tmp_path / "store.sqlite"))
    (made,) = stored.evaluate([(8, 4, 2) * 3])
    found = EvaluationStore(tmp_path / "store.sqlite").evaluations(stored.fingerprint)
    assert found == {made.allocation: made}
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        rows = connection.execute("SELECT seed, allocation FROM evaluations").fetchall()
    assert rows == [(0, "8 4 2 8 4 2 8 4 2")]


def test_what_a_killed_batch_had_done_is_kept(tmp_path: Path) -> None:
    class Killed(BaseException): ...

    class Stream(LookupTable):
        def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
            for allocation in allocations:
                if tuple(allocation) == FOUR:
                    raise Killed
                yield from super().evaluate([allocation])

    with pytest.raises(Killed):
        Ledger(Stream(), store=EvaluationStore(tmp_path / "store.sqlite")).evaluate([TWO, FOUR])
    assert list(EvaluationStore(tmp_path / "store.sqlite").evaluations(fingerprint(Stream()))) == [TWO]


def test_an_evaluation_that_a_watcher_interrupts_is_kept(tmp_path: Path) -> None:
    class Stop(Exception): ...  # noqa: N818

    def stop(evaluation: Evaluation) -> None:
        raise Stop

    store = EvaluationStore(tmp_path / "store.sqlite")
    for kept in (store, None):
        table = LookupTable()
        ledger = Ledger(table, store=kept)
        ledger.watch(on_evaluation=stop)
        with pytest.raises(Stop):
            ledger.evaluate([TWO])
        assert not ledger.evaluations
        assert ledger.made == 1
        ledger.evaluate([TWO])
        assert list(ledger.evaluations) == [TWO]
        assert table.calls == [1]


def test_a_search_is_listed_in_the_store_and_watched(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "store.sqlite")
    seen: list[list[Evaluation]] = []
    ledger = Ledger(LookupTable(), store=store, budget=2, search=("mine", 3))
    ledger.watch(on_request=lambda made: seen.append(list(made)))
    (two,) = ledger.evaluate([TWO])
    with pytest.raises(BudgetSpent):
        ledger.evaluate([TWO, FOUR, (8, 8, 8, 8)])
    assert [[evaluation.allocation for evaluation in made] for made in seen] == [[TWO], [FOUR]]
    assert store.searches(ledger.fingerprint) == {("mine", 3): [two, ledger.evaluations[FOUR]]}
    assert ledger.left == 0
    with pytest.raises(BudgetSpent):
        ledger.evaluate([(8, 8, 8, 8)])
    assert len(seen) == 2


def test_optional_protocols_are_recognized(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for protocol in (Streaming, Fingerprinted, Seeded):
        assert isinstance(evaluator, protocol)
        assert not isinstance(LookupTable(), protocol)


def test_a_failure_is_said_once_and_takes_nothing_from_the_budget(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, table = EvaluationStore(tmp_path / "store.sqlite"), PatchyTable((2, 2))
    seen: list[Evaluation] = []
    ledger = Ledger(table, store=store, budget=2, search=("mine", 0))
    ledger.watch(on_request=seen.extend)
    with caplog.at_level(logging.WARNING):
        with pytest.raises(BudgetSpent):
            ledger.attempt([FOUR, TWO, (8, 8, 8, 8), (2, 4, 2, 2)])
        assert ledger.attempt([TWO, FOUR]) == [ledger.evaluations[FOUR]]
    assert [record.getMessage() for record in caplog.records] == [
        "allocation 2,2,2,2 cannot be evaluated: a hole; the search goes on without it"
    ]
    assert table.calls == [2, 1]
    assert list(ledger.evaluations) == [FOUR, (8, 8, 8, 8)]
    assert list(ledger.failures) == [TWO]
    assert seen == store.searches(ledger.fingerprint)[("mine", 0)] == list(ledger.evaluations.values())


def test_who_needs_every_evaluation_gets_the_failure_as_an_error() -> None:
    ledger = Ledger(PatchyTable((2, 2)))
    with pytest.raises(EvaluationError, match=r"^allocation 2,2,2,2 cannot be evaluated: a hole$"):
        ledger.evaluate([TWO, FOUR])
    assert list(ledger.evaluations) == [FOUR]


def test_many_failures_in_a_row_end_a_search() -> None:
    holes = list(itertools.product((2, 4), repeat=2))
    ledger = Ledger(PatchyTable(*holes))
    failing = [(*first, *last) for first in holes for last in itertools.product((2, 4, 8), repeat=2)]
    ledger.attempt([*failing[:4], (8, 8, 8, 8)])
    with pytest.raises(EvaluationError, match=r"^32 allocations in a row failed; allocation 4,4,8,8 cannot be"):
        ledger.attempt(failing[4:])
