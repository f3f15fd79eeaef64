"""Predicted drops: probabilities grow with the tolerated drop, and observations change all allocations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.drop_prediction import DropModel, DropPrediction

divergences = st.lists(st.floats(0, 5), min_size=1, max_size=8)
drops = st.floats(-20, 60)


@given(divergences, drops, drops, st.floats(0, 1), st.integers(0, 5000))
def test_the_probability_grows_with_the_tolerated_drop(
    given: list[float], first: float, second: float, error: float, unseen: int
) -> None:
    prediction = DropPrediction(given, error=error, unseen=unseen)
    prediction.observe(0, 1.0, 0.5)
    low, high = (prediction.probability(drop) for drop in sorted((first, second)))
    assert (low <= high).all()
    assert ((low >= 0) & (high <= 1)).all()


@given(divergences.filter(lambda given: len(given) > 1), drops, st.floats(0.01, 20))
def test_an_observation_narrows_all_predictions(given: list[float], drop: float, variance: float) -> None:
    prediction = DropPrediction(given)
    before, wide = prediction.predict()
    prediction.observe(1, drop, variance)
    after, narrow = prediction.predict()
    assert (narrow <= wide + 1e-9).all()
    assert (after >= before - 1e-9).all() or (after <= before + 1e-9).all()
    assert prediction.observed == (1,)


def test_a_larger_divergence_predicts_a_larger_drop() -> None:
    mean, _ = DropPrediction([0.0, 0.01, 0.1, 1.0]).predict()
    assert (np.diff(mean) > 0).all()


def test_few_unseen_items_widen_the_prediction() -> None:
    _, sure = DropPrediction([0.1]).predict()
    _, many = DropPrediction([0.1], unseen=10_000).predict()
    _, few = DropPrediction([0.1], unseen=100).predict()
    assert sure < many < few


def test_the_prediction_is_that_of_the_normal_distribution() -> None:
    model = DropModel((0.0, 0.0), (0.0, 0.0), ((1.0, 1.0), (1.0, 1.0)), ((0.0, 0.0), (0.0, 0.0)))
    prediction = DropPrediction([0.1, 0.2], model=model)
    assert prediction.probability(1.0) == pytest.approx(0.8413447460685429)
    prediction.observe(0, 4.0, 1.0)  # as certain as the prior: half-way between the two
    mean, deviation = prediction.predict()
    assert mean == pytest.approx(2.0)
    assert deviation == pytest.approx(0.5**0.5)
