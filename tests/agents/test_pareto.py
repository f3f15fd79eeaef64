import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents import ParetoArchive, hypervolume, pareto_front
from mixq_rl.evaluation import Evaluation


def evaluation(reduction: float, accuracy: float, bits: int = 8) -> Evaluation:
    return Evaluation((bits,), accuracy, 100 / reduction, reduction, 100 / reduction, reduction)


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
