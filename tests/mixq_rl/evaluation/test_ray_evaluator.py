import itertools
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.agents import SearchProblem, run_search
from mixq_rl.errors import EvaluationError, InputError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation, Fallible, Fingerprinted, Restricted, Seeded, Sized, Streaming
from mixq_rl.evaluation.ray_connection import ATTEMPTS
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.evaluation.ray_workers import RayWorkers
from mixq_rl.evaluation.store import EvaluationStore, fingerprint
from tests.lookup_table import LookupTable
from tests.mixq_rl.evaluation.ray_tables import Broken, Deadly, Sleeping, Unpicklable

TWO, FOUR, EIGHT = (2, 2, 2, 2), (4, 4, 4, 4), (8, 8, 8, 8)
EVERY = list(itertools.product((2, 4, 8), repeat=4))


def untimed(evaluations: list[Evaluation]) -> list[tuple[object, ...]]:
    return [(e.allocation, e.accuracy, e.bitops, e.product_bitops, e.reduction, e.bytes, e.size) for e in evaluations]


def test_evaluations_are_those_of_the_evaluator(workers: RayWorkers, evaluator: mixq_rl.SupernetEvaluator) -> None:
    allocations = [(2,) * 9, (8, 4, 2) * 3, (8,) * 9, (4, 2, 8) * 3, (2,) * 9]
    distributed = RayEvaluator(evaluator, workers)
    assert untimed(distributed.evaluate(allocations)) == untimed(evaluator.evaluate(allocations))
    assert distributed.components is evaluator.components
    assert distributed.reference is evaluator.reference
    assert distributed.fingerprint == evaluator.fingerprint
    assert distributed.seed == evaluator.seed
    assert distributed.forbidden == evaluator.forbidden
    assert distributed.sizes(allocations) == evaluator.sizes(allocations)


def test_fine_tuning_elsewhere_gives_the_same_weights(workers: RayWorkers, task: mixq_rl.GraphTask) -> None:
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8, seed=0), task, seed=0, epochs=5)
    tuning = mixq_rl.FineTuneEvaluator(model, task, bit_widths=(2, 4), seed=0, epochs=3)
    allocations = [(2,) * 9, (4, 2, 2) * 3, (4,) * 9]
    assert untimed(RayEvaluator(tuning, workers).evaluate(allocations)) == untimed(tuning.evaluate(allocations))


def test_an_evaluator_without_optional_protocols_is_known_by_its_content(workers: RayWorkers) -> None:
    table = LookupTable()
    distributed = RayEvaluator(table, workers)
    assert isinstance(distributed, mixq_rl.Evaluator)
    for protocol in (Streaming, Fallible, Fingerprinted, Seeded, Restricted, Sized):
        assert isinstance(distributed, protocol)
    assert distributed.fingerprint == fingerprint(table)
    assert (distributed.seed, distributed.forbidden, distributed.sizes([TWO])) == (None, (), [0])


def test_results_come_in_the_order_of_the_request_from_all_workers(workers: RayWorkers, tmp_path: Path) -> None:
    slow_first = [EIGHT, TWO, FOUR, TWO, EIGHT]
    distributed = RayEvaluator(Sleeping(0.01, tmp_path), workers)
    assert distributed.evaluate(slow_first) == LookupTable().evaluate(slow_first)
    assert len(list(tmp_path.iterdir())) == 2
    assert not (tmp_path / str(os.getpid())).exists()


def test_one_worker_serves_several_evaluators(workers: RayWorkers, tmp_path: Path) -> None:
    first, second = RayEvaluator(LookupTable(), workers), RayEvaluator(Sleeping(0.0, tmp_path), workers)
    assert first.evaluate(EVERY) == second.evaluate(EVERY) == LookupTable().evaluate(EVERY)


def test_a_request_that_is_left_halfway_does_not_disturb_the_next(workers: RayWorkers, tmp_path: Path) -> None:
    distributed = RayEvaluator(Sleeping(0.005, tmp_path), workers)
    left = distributed.attempt([EIGHT, FOUR, EIGHT, EIGHT])
    next(left)
    assert distributed.evaluate([TWO, FOUR]) == LookupTable().evaluate([TWO, FOUR])


def test_what_a_killed_worker_was_evaluating_is_evaluated_again(workers: RayWorkers, tmp_path: Path) -> None:
    distributed = RayEvaluator(Sleeping(0.02, tmp_path), workers)

    def kill_one() -> None:
        while not (found := list(tmp_path.iterdir())):
            time.sleep(0.01)
        os.kill(int(found[0].name), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    requested = [EIGHT, EIGHT, FOUR, TWO]
    assert distributed.evaluate(requested) == LookupTable().evaluate(requested)
    killer.join()


@pytest.mark.parametrize("deaths", [ATTEMPTS - 1, ATTEMPTS])
def test_an_allocation_that_kills_its_workers_is_given_up(workers: RayWorkers, tmp_path: Path, deaths: int) -> None:
    ledger = Ledger(RayEvaluator(Deadly(tmp_path, deaths), workers))
    made = ledger.attempt([FOUR, TWO, EIGHT])
    lasting = [FOUR, TWO, EIGHT] if deaths < ATTEMPTS else [FOUR, EIGHT]
    assert made == LookupTable().evaluate(lasting)
    assert [failure.reason.split(" (")[0] for failure in ledger.failures.values()] == ["its worker died"] * (
        3 - len(lasting)
    )


def test_a_failure_is_one_line_and_the_others_are_kept(
    workers: RayWorkers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EvaluationStore(tmp_path / "store.sqlite")
    ledger = Ledger(RayEvaluator(Broken(tmp_path / "attempts"), workers), store=store)
    line = "allocation 2,2,2,2 cannot be evaluated: ArithmeticError: the table has a hole"
    with caplog.at_level(logging.WARNING), pytest.raises(EvaluationError) as raised:
        ledger.evaluate([FOUR, TWO, EIGHT])
    assert str(raised.value) == line
    assert [record.getMessage() for record in caplog.records] == [f"{line}; the search goes on without it"]
    assert (tmp_path / "attempts").read_text().count("\n") == ATTEMPTS
    assert list(store.evaluations(ledger.fingerprint)) == [FOUR, EIGHT]
    assert ledger.attempt([TWO, EIGHT]) == LookupTable().evaluate([EIGHT])
    assert (tmp_path / "attempts").read_text().count("\n") == ATTEMPTS
    store.close()


def test_an_evaluator_that_cannot_be_restored_is_named(workers: RayWorkers) -> None:
    with pytest.raises(EvaluationError, match=r"^allocation 2,2,2,2 cannot be evaluated: .*it cannot be restored$"):
        RayEvaluator(Unpicklable(), workers).evaluate([TWO])


@pytest.mark.parametrize("name", ["ppo", "random", "greedy", "tpe"])
def test_a_search_finds_the_same(workers: RayWorkers, name: str) -> None:
    found = []
    for evaluator in (LookupTable(), RayEvaluator(LookupTable(), workers)):
        ledger = Ledger(evaluator, budget=24)
        run_search(name, SearchProblem(ledger, seed=3))
        found.append(list(ledger.evaluations.values()))
    assert found[0] == found[1]


def test_ray_is_needed_only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray, which is not installed: pip install 'mixq-rl\[ray\]'"):
        RayWorkers(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "0 workers: at least 1"),
        ({"count": 40, "cpus": 0.1}, "40 workers: the CPUs of the cluster are enough for 10"),
        ({"count": 1, "cpus": 0.1, "gpus": True}, "Ray has no GPU"),
    ],
)
def test_refuses_what_the_cluster_does_not_have(
    workers: RayWorkers, settings: dict[str, float | bool], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RayWorkers(**settings)  # type: ignore[arg-type]
