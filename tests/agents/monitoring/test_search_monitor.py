import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixq_rl import Ledger
from mixq_rl.agents import ParetoArchive, hypervolume
from mixq_rl.agents.monitoring import RunWriter, SearchMonitor, TimeShare
from mixq_rl.envs import MaxBitOps, Reward, TradeOff
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore
from mixq_rl.metering import ComponentCost
from tests.agents.monitoring.server import tensorboard, wait_for
from tests.lookup_table import LookupTable

Allocation = tuple[int, ...]

ORDER: list[Allocation] = [
    (int(a), int(b), int(c), int(d))
    for a, b, c, d in np.random.default_rng(0).permutation(
        np.stack(np.meshgrid(*[[2, 4, 8]] * 4), axis=-1).reshape(-1, 4)
    )
]
WHOLE = len(ORDER)


def batches(evaluator: Ledger, first: int, last: int, size: int = 3) -> Iterator[list[Evaluation]]:
    for start in range(first, last, size):
        yield evaluator.evaluate(ORDER[start : min(start + size, last)])


def make_monitor(
    evaluator: Ledger,
    writer: RunWriter,
    episodes: int = WHOLE,
    reward: Reward | None = None,
    **more: Any,
) -> SearchMonitor:
    return SearchMonitor(
        evaluator, ParetoArchive(0.3), episodes, reward=reward or TradeOff(), writer=writer, title="a table", **more
    )


def read(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def values(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_scalars_are_of_the_batch_and_of_all_so_far(tmp_path: Path) -> None:
    evaluator = Ledger(LookupTable())
    told: list[tuple[int, int]] = []
    with closing(RunWriter(tmp_path)) as writer:
        monitor = make_monitor(evaluator, writer, progress=lambda done, whole: told.append((done, whole)))
        made = []
        for batch in batches(evaluator, 0, 9):
            monitor(batch)
            made.append(batch)
    events, reference = read(tmp_path), evaluator.reference
    assert told == [(3, WHOLE), (6, WHOLE), (9, WHOLE)]
    rewards = [[TradeOff()(evaluation, reference, 0.5) for evaluation in batch] for batch in made]
    assert [step for step, _ in values(events, "search/reward_mean")] == [3, 6, 9]
    means = [np.mean(batch) for batch in rewards]
    assert [value for _, value in values(events, "search/reward_mean")] == pytest.approx(means)
    best = np.maximum.accumulate([max(batch) for batch in rewards])
    assert [value for _, value in values(events, "search/reward_best")] == pytest.approx(best)
    accuracies = [np.mean([e.accuracy for e in batch]) for batch in made]
    assert [value for _, value in values(events, "search/accuracy")] == pytest.approx(accuracies)
    volumes = [hypervolume([e for batch in made[: count + 1] for e in batch], 0.3) for count in range(3)]
    assert [value for _, value in values(events, "search/hypervolume")] == pytest.approx(volumes)
    assert monitor.archive.hypervolume == pytest.approx(volumes[-1])
    assert values(events, "search/evaluations") == [(3, 3), (6, 6), (9, 9)]
    assert all(value > 0 for _, value in values(events, "search/evaluations_per_second"))
    widths = [np.mean([e.allocation[1] for e in batch]) for batch in made]
    assert [value for _, value in values(events, "bits/conv1.weight")] == pytest.approx(widths)
    chosen = [event.histogram_value for event in events.Histograms("bits_chosen/conv1.weight")]
    assert [histogram.sum / histogram.num for histogram in chosen] == pytest.approx(widths)


def test_cache_hits_are_what_was_not_executed(tmp_path: Path) -> None:
    table = LookupTable()
    store = EvaluationStore(tmp_path / "store.sqlite")
    Ledger(table, store=store).evaluate(ORDER[:5])
    evaluator = Ledger(table, store=store)
    with closing(RunWriter(tmp_path / "run")) as writer:
        monitor = make_monitor(evaluator, writer)
        for first, last in ((0, 3), (3, 9), (9, 12)):
            monitor(evaluator.evaluate(ORDER[first:last]))
            evaluator.evaluate(ORDER[:2])
    # Of the store three, then two more; and each time two that were known, after the entry was written.
    assert values(read(tmp_path / "run"), "search/cache_hits") == [(3, 3), (9, 7), (12, 9)]
    assert sum(table.calls) == 5 + 7
    store.close()


def test_a_long_search_has_few_entries_and_loses_none(tmp_path: Path) -> None:
    evaluator = Ledger(LookupTable())
    with closing(RunWriter(tmp_path)) as writer:
        monitor = make_monitor(evaluator, writer, episodes=1000)
        for batch in batches(evaluator, 0, 43, size=1):
            monitor(batch)
        monitor.finish()
    events = read(tmp_path)
    assert [step for step, _ in values(events, "search/evaluations")] == [*range(5, 41, 5), 43]
    histograms = [event.histogram_value for event in events.Histograms("bits_chosen/conv1.input")]
    assert [histogram.num for histogram in histograms] == [5] * 8 + [3]


def test_figures_keep_to_their_share_of_the_time_except_the_last(tmp_path: Path) -> None:
    drawn = {}
    for name, share, always in (("all", 1e9, False), ("few", 1e-9, False), ("last", 1e-9, True)):
        evaluator = Ledger(LookupTable())
        with closing(RunWriter(tmp_path / name)) as writer:
            monitor = make_monitor(evaluator, writer, share=TimeShare(share))
            for batch in batches(evaluator, 0, WHOLE):
                monitor(batch)
            monitor.finish(always=always)
        events = read(tmp_path / name)
        drawn[name] = [event.step for event in events.Images("search/pareto")]
        for tag in ("search/bits", "search/accuracy_bitops"):
            assert [event.step for event in events.Images(tag)] == drawn[name]
        assert [event.step for event in events.Tensors("search/best_allocations")] == drawn[name]
    assert drawn["few"] == [9]
    assert drawn["last"] == [9, WHOLE]
    assert drawn["all"] == [9, 18, 27, 33, 42, 51, 57, 66, 75, WHOLE]


def test_the_best_are_shown_with_what_they_cost(tmp_path: Path) -> None:
    asked: list[Allocation] = []

    def costs(allocation: Allocation) -> dict[str, ComponentCost]:
        asked.append(tuple(allocation))
        return {"conv1.weight": ComponentCost(5.0), "conv1.message": ComponentCost(5.0, 8, 0.25)}

    evaluator, reward = Ledger(LookupTable()), MaxBitOps(60.0)
    with closing(RunWriter(tmp_path)) as writer:
        monitor = make_monitor(evaluator, writer, reward=reward, costs=costs, rivals=lambda: {"tpe": made})
        made = evaluator.evaluate(ORDER)
        allowed = [evaluation for evaluation in made if evaluation.bitops <= 60]
        monitor(allowed)
        monitor.finish()
    events = read(tmp_path)
    best = max(allowed, key=partial(reward, reference=evaluator.reference, preference=0.0))
    assert asked == [best.allocation]
    assert values(events, "kernel_time/conv1.message") == [(len(allowed), 250)]
    assert "kernel_time/conv1.weight" not in events.Tags()["scalars"]
    (text,) = events.Tensors("search/best_allocations")
    table = text.tensor_proto.string_val[0].decode()
    rows = [line for line in table.splitlines()[2:] if line.startswith(("| ★", "|  |"))]
    assert rows
    for row in rows:
        allocation = tuple(int(bits) for bits in row.split("|")[-2].split())
        full = allocation * 4 if len(allocation) == 1 else allocation
        (evaluation,) = evaluator.evaluate([full])
        assert evaluation.bitops <= 60
        assert row.startswith("| ★") == (full == best.allocation)
    for component, bits in zip(evaluator.components, best.allocation, strict=True):
        assert f"| {component.name} | {bits} |" in table


@pytest.mark.parametrize("load_fast", [False, True])
def test_a_search_that_was_killed_and_resumed_has_one_history(tmp_path: Path, load_fast: bool) -> None:
    """The first process draws figures beyond its checkpoint, the second would draw them elsewhere."""
    evaluator = Ledger(LookupTable())
    with closing(RunWriter(tmp_path / "whole")) as writer:
        monitor = make_monitor(evaluator, writer, episodes=1000, share=TimeShare(1e-9))
        for batch in batches(evaluator, 0, WHOLE):
            monitor(batch)
        monitor.finish()
    evaluator = Ledger(LookupTable())
    with closing(RunWriter(tmp_path / "killed")) as writer:
        monitor = make_monitor(evaluator, writer, episodes=1000, share=TimeShare(1e-9))
        for batch in batches(evaluator, 0, 33):
            monitor(batch)
        saved = json.dumps(monitor.state_dict(), allow_nan=False)
        for batch in batches(evaluator, 33, 60):
            monitor(batch)
        monitor.finish()  # draws, at step 60
    state = json.loads(saved)
    evaluator = Ledger(LookupTable())
    evaluator.evaluate(ORDER[:33])
    with closing(RunWriter(tmp_path / "killed", step=state["step"])) as writer:
        monitor = make_monitor(evaluator, writer, episodes=1000)
        monitor.load_state_dict(state)
        for batch in batches(evaluator, 33, WHOLE):
            monitor(batch)
        monitor.finish()
    with tensorboard(tmp_path, load_fast=load_fast) as ask:

        def shown() -> dict[str, Any]:
            found = ask("plugin/scalars/tags")
            complete = set(found) == {"whole", "killed"} and "search/cache_hits" in found["killed"]
            return found if complete else {}

        tags = wait_for(shown)
        assert set(tags["whole"]) == set(tags["killed"])
        for tag in tags["whole"]:
            whole, killed = (ask("plugin/scalars/scalars", run=run, tag=tag) for run in ("whole", "killed"))
            if tag != "search/evaluations_per_second":
                assert [entry[1:] for entry in killed] == [entry[1:] for entry in whole], tag
            assert [entry[1] for entry in killed] == [entry[1] for entry in whole], tag
        steps = [image["step"] for image in ask("plugin/images/images", run="killed", tag="search/bits")]
        assert steps == [36, WHOLE]
