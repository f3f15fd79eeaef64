"""Allocations for a target keep the limits, and take few short fine-tunings."""

import random

import pytest

import mixq_rl
from mixq_rl.agents.allocation import check_wish, choose, pretrained
from mixq_rl.agents.drop_prediction import DropPrediction
from mixq_rl.agents.target import settle
from mixq_rl.agents.trials import Trials
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import Constraints, EpisodeRules
from mixq_rl.errors import InputError


@pytest.fixture(scope="module")
def calibrated(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> mixq_rl.PostTrainingEvaluator:
    return mixq_rl.PostTrainingEvaluator(float_model, task)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_drop", [None, 1.0])
def test_random_limits_are_kept(
    seed: int,
    max_drop: float | None,
    calibrated: mixq_rl.PostTrainingEvaluator,
    float_model: mixq_rl.QuantizableModel,
) -> None:
    draw = random.Random(seed)
    names = [component.name for component in calibrated.components]
    bits_of = {name: tuple(draw.sample((2, 4, 8), draw.randint(1, 3))) for name in draw.sample(names, 3)}
    rules = EpisodeRules(calibrated, constraints=Constraints(bits_of=bits_of))
    lowest, highest = calibrated.evaluate([rules.limits.lowest, rules.limits.highest])
    size = round(draw.uniform(lowest.size, highest.size))
    reduction = draw.uniform(highest.reduction, 0.999 * lowest.reduction)
    wanted = Constraints(bits_of=bits_of, max_size=size)
    found = choose(
        calibrated, float_model, pretrained(), max_drop=max_drop, max_reduction=reduction, constraints=wanted
    )
    assert EpisodeRules(calibrated, constraints=wanted).allows(found.allocation)
    (evaluation,) = calibrated.evaluate([found.allocation])
    assert evaluation.reduction >= reduction
    assert evaluation.size <= size
    assert found.evaluation.bitops == evaluation.bitops
    assert (found.confidence is None) == (max_drop is None)
    assert found.trainings <= (0 if max_drop is None else 4)


def test_a_reduction_is_most_accurate_within_the_limit(
    calibrated: mixq_rl.PostTrainingEvaluator, float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    trials = Trials(calibrated, float_model)
    found = [choose(calibrated, float_model, pretrained(), max_reduction=factor) for factor in (5.0, 9.0, 14.0)]
    divergences = [trials.divergence(each.allocation) for each in found]
    assert divergences == sorted(divergences)
    assert all(each.evaluation.reduction >= factor for each, factor in zip(found, (5.0, 9.0, 14.0), strict=True))
    assert mixq_rl.allocate(float_model, task, max_reduction=9.0) == found[1].allocation


def test_a_reduction_out_of_reach_is_refused_with_what_is_in_reach(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    for max_drop in (None, 1.0):
        with pytest.raises(InputError, match=r"cannot be kept: allocations take .* \(32× fewer than float32\) to"):
            mixq_rl.allocate(float_model, task, max_drop=max_drop, max_reduction=33.0)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ((0.5, None, 8.0), "a preference and a reduction: choose one of the two"),
        ((None, None, 0.0), "0 times fewer bit operations: it must be positive and finite"),
        ((None, None, float("inf")), "inf times fewer bit operations"),
        ((None, None, float("nan")), "nan times fewer bit operations"),
    ],
)
def test_wishes_are_checked(wish: tuple[float | None, float | None, float | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_wish(*wish)


def test_the_confidence_grows_with_the_drop(
    calibrated: mixq_rl.PostTrainingEvaluator, float_model: mixq_rl.QuantizableModel
) -> None:
    hopeless = choose(calibrated, float_model, pretrained(), max_drop=0.0)
    certain = choose(calibrated, float_model, pretrained(), max_drop=100.0)
    assert hopeless.confidence is not None
    assert certain.confidence == pytest.approx(1.0)
    assert hopeless.confidence <= certain.confidence
    assert certain.trainings == 1
    assert certain.evaluation.bitops <= hopeless.evaluation.bitops


def test_the_divergence_is_zero_only_for_the_answers_of_float32(
    calibrated: mixq_rl.PostTrainingEvaluator, float_model: mixq_rl.QuantizableModel
) -> None:
    trials, count = Trials(calibrated, float_model), len(calibrated.components)
    found = [trials.divergence((bits,) * count) for bits in (8, 4, 2)]
    assert 0 < found[0] < found[1] < found[2]


def test_few_observations_settle_the_choice() -> None:
    asked: list[int] = []

    def observe(index: int) -> tuple[float, float]:
        asked.append(index)
        return (8.0, 4.0, 0.0, -1.0)[index], 0.1

    prediction = DropPrediction([0.2, 0.05, 0.02, 0.001])
    assert settle(prediction, 1.0, observe) == 2
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) <= 4


def test_the_likeliest_is_chosen_if_none_is_likely() -> None:
    prediction = DropPrediction([0.2, 0.05, 0.02])
    index = settle(prediction, 0.0, lambda place: (20.0 - place, 0.1))
    assert index == max(prediction.observed, key=lambda place: prediction.probability(0.0)[place])
    assert prediction.probability(0.0)[index] < 0.5
