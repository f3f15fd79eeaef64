import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents import ParetoArchive, hypervolume, pareto_front
from mixq_rl.agents.pareto import bridge, spread
from mixq_rl.evaluation.objective import LATENCY
from mixq_rl.evaluation.protocol import Evaluation


def evaluation(reduction: float, accuracy: float, bits: int = 8) -> Evaluation:
    return Evaluation((bits,), accuracy, 100 / reduction, reduction, 100 / reduction, reduction)


FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)

EVALUATIONS = st.lists(
    st.builds(evaluation, st.sampled_from([1.0, 2.0, 4.0, 5.0, 8.0, 16.0]), st.sampled_from([0.2, 0.5, 0.6, 0.8, 0.9])),
    max_size=12,
)


def beats(one: Evaluation, other: Evaluation) -> bool:
    at_least = one.reduction >= other.reduction and one.accuracy >= other.accuracy
    return at_least and (one.reduction, one.accuracy) != (other.reduction, other.accuracy)


@given(EVALUATIONS)
def test_front_is_what_nothing_beats(evaluations: list[Evaluation]) -> None:
    front = pareto_front(evaluations)
    unbeaten = {(e.reduction, e.accuracy) for e in evaluations if not any(beats(other, e) for other in evaluations)}
    assert {(e.reduction, e.accuracy) for e in front} == unbeaten
    assert len(front) == len(unbeaten)
    assert [e.reduction for e in front] == sorted(e.reduction for e in front)


@given(EVALUATIONS, st.sampled_from([0.0, 0.3, 0.55]))
def test_hypervolume_is_the_area_under_the_front(evaluations: list[Evaluation], reference: float) -> None:
    # Counted column by column between neighbouring reductions.
    bounds = sorted({0.0, *(math.log2(e.reduction) for e in evaluations)})
    area = 0.0
    for left, right in itertools.pairwise(bounds):
        best = max(e.accuracy for e in evaluations if math.log2(e.reduction) >= right)
        area += (right - left) * max(best - reference, 0)
    assert hypervolume(evaluations, reference) == pytest.approx(area)


@given(EVALUATIONS)
def test_estimates_take_the_place_of_accuracies(evaluations: list[Evaluation]) -> None:
    estimated = [replace(e, accuracy=1 - e.accuracy, estimate=e.accuracy) for e in evaluations]
    assert [replace(e, accuracy=e.merit, estimate=None) for e in pareto_front(estimated)] == pareto_front(evaluations)
    assert hypervolume(estimated, 0.3) == hypervolume(evaluations, 0.3)


@given(EVALUATIONS, EVALUATIONS)
def test_archive_grows_to_the_same_front(first: list[Evaluation], second: list[Evaluation]) -> None:
    archive = ParetoArchive(0.1)
    archive.add(first)
    before = archive.hypervolume
    archive.add(second)
    assert archive.hypervolume >= before
    assert archive.hypervolume == pytest.approx(hypervolume([*first, *second], 0.1))


def test_first_of_equals_is_kept() -> None:
    assert pareto_front([evaluation(4, 0.5, 2), evaluation(4, 0.5, 3)])[0].allocation == (2,)


def test_archive_goes_by_speed_up_where_latency_is_the_objective() -> None:
    reference = replace(evaluation(1, 0.8, 32), seconds=0.008)
    # The greater the reduction, the slower; the last is slower than float32.
    seconds = (0.001, 0.002, 0.004, 0.016)
    accuracies = (0.5, 0.75, 0.7, 0.8)
    points = [
        replace(evaluation(4 + index, accuracy, index + 1), seconds=time)
        for index, (accuracy, time) in enumerate(zip(accuracies, seconds, strict=True))
    ]
    archive = ParetoArchive(0.1, partial(LATENCY.saving, reference=reference))
    archive.add(points[:2])
    archive.add(points[2:])
    assert [e.allocation for e in archive.front] == [(4,), (2,), (1,)]
    # Two octaves at 0.75, a third at 0.5; nothing for the one that is slower than float32.
    assert archive.hypervolume == pytest.approx(2 * (0.75 - 0.1) + (0.5 - 0.1))
    assert [e.allocation for e in pareto_front(points)] == [(4,)]


def test_spread_keeps_what_adds_most() -> None:
    points = [replace(FLOAT, reduction=2.0**k, accuracy=0.9 - 0.02 * k**2) for k in range(1, 6)]
    assert spread(points, 10, 0.0) == points
    chosen = spread(points, 2, 0.0)
    assert [e.reduction for e in chosen] == sorted(e.reduction for e in chosen)
    pairs = [[one, other] for one in points for other in points]
    best_single = max(points, key=lambda point: hypervolume([point]))
    assert best_single in chosen
    assert hypervolume(chosen) >= 0.9 * max(hypervolume(pair) for pair in pairs)


def test_spread_of_a_front_slower_than_float32_is_that_of_a_faster_one() -> None:
    points = [replace(FLOAT, seconds=2.0**k, accuracy=0.5 + 0.05 * k) for k in range(6, 0, -1)]
    slow, fast = (
        spread(points, 3, 0.45, partial(LATENCY.saving, reference=replace(FLOAT, seconds=seconds)))
        for seconds in (1.0, 2.0**7)
    )
    assert slow == fast
    assert slow == sorted(slow, key=lambda e: -e.seconds)
    assert points[-1] in slow


def test_gaps_of_a_front_are_filled_with_what_was_evaluated_there() -> None:
    front = [evaluation(4, 0.9, 8), evaluation(5, 0.8, 7), evaluation(32, 0.7, 1)]
    near, first, second, worse = (
        evaluation(5.5, 0.75, 6),
        evaluation(16, 0.6, 2),
        evaluation(12, 0.6, 3),
        evaluation(13, 0.5, 4),
    )
    everything = [worse, *front, first, second, near]
    # From 5 to 32 the most accurate, of equals the first; then from 5 to 16. What is near an end fills no gap.
    assert bridge(front, everything, 8) == [*front[:2], second, first, front[2]]
    assert bridge(front, everything, 4) == [*front[:2], first, front[2]]
    assert bridge(front, everything, 2) == front
    assert bridge(front, front, 8) == front
    assert bridge(front[:2], everything, 8) == front[:2]
    assert bridge([], everything, 8) == []


def test_gaps_are_those_of_the_saving() -> None:
    def speed_up(evaluation: Evaluation) -> float:
        return 1 / evaluation.seconds

    slow, middle, fast = (replace(evaluation(8, 0.9, 1), seconds=seconds) for seconds in (1.0, 0.5, 0.2))
    middle = replace(middle, accuracy=0.4)
    assert bridge([fast, slow], [middle], 8, speed_up) == [slow, middle, fast]
    assert bridge([fast, slow], [middle], 8) == [fast, slow]
