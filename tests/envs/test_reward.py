from dataclasses import replace

import pytest

from mixq_rl.envs import MaxBitOps, MaxDrop, TradeOff
from mixq_rl.errors import InputError, UnknownNameError
from mixq_rl.evaluation.objective import LATENCY
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)
QUANTIZED = replace(FLOAT, accuracy=0.75, reduction=8.0)


@pytest.mark.parametrize(
    ("preference", "reward"),
    [(0.0, -0.5), (1.0, 3 / 4), (0.5, 0.5 * -0.5 + 0.5 * 3 / 4)],
)
def test_trade_off_is_the_formula_of_the_design(preference: float, reward: float) -> None:
    assert TradeOff()(QUANTIZED, FLOAT, preference) == pytest.approx(reward)


def test_an_estimate_takes_the_place_of_the_accuracy() -> None:
    estimated, better = replace(QUANTIZED, estimate=0.79), replace(QUANTIZED, accuracy=0.79)
    for reward in (TradeOff(), MaxDrop(0.02), MaxDrop(0.005), MaxBitOps(1e9)):
        assert reward(estimated, FLOAT, 0.5) == reward(better, FLOAT, 0.5) > reward(QUANTIZED, FLOAT, 0.5)


@pytest.mark.parametrize("preference", [0.0, 0.3, 1.0])
def test_float_itself_is_worth_nothing(preference: float) -> None:
    assert TradeOff()(FLOAT, FLOAT, preference) == 0


@pytest.mark.parametrize(
    ("seconds", "preference", "reward"),
    [
        (0.002, 1.0, 2 / 4),  # 4 times as fast: two octaves
        (0.002, 0.0, -0.5),
        (0.002, 0.5, 0.5 * -0.5 + 0.5 * 2 / 4),
        (0.016, 1.0, -1 / 4),  # half as fast
        (0.008, 0.25, 0.75 * -0.5),
    ],
)
def test_with_latency_the_speed_up_takes_the_place_of_the_reduction(
    seconds: float, preference: float, reward: float
) -> None:
    reference, evaluation = replace(FLOAT, seconds=0.008), replace(QUANTIZED, seconds=seconds)
    assert TradeOff(LATENCY)(evaluation, reference, preference) == pytest.approx(reward)
    assert TradeOff()(evaluation, reference, preference) == TradeOff()(QUANTIZED, FLOAT, preference)


def test_unknown_objectives_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown objective 'speed'"):
        TradeOff("speed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accuracy", "reward"),
    [(0.8, 3 / 4), (0.797, 3 / 4), (0.787, -0.1), (0.697, -1.0)],
)
def test_max_drop_pays_the_saving_until_the_drop_is_exceeded(accuracy: float, reward: float) -> None:
    wanted = MaxDrop(0.003)
    assert wanted(replace(QUANTIZED, accuracy=accuracy), FLOAT, 1.0) == pytest.approx(reward)
    assert (wanted.preference, wanted.max_drop, wanted.max_bitops) == (1.0, 0.003, None)


def test_max_drop_goes_by_time_where_asked() -> None:
    reference, evaluation = replace(FLOAT, seconds=0.008), replace(QUANTIZED, accuracy=0.8, seconds=0.002)
    assert MaxDrop(0.0, LATENCY)(evaluation, reference, 1.0) == pytest.approx(2 / 4)


def test_max_bitops_pays_accuracy_alone() -> None:
    wanted = MaxBitOps(1e9)
    assert wanted(QUANTIZED, FLOAT, 0.9) == pytest.approx(-0.5)
    assert (wanted.preference, wanted.max_drop, wanted.max_bitops) == (0.0, None, 1e9)


def test_limits_out_of_bounds_are_refused() -> None:
    with pytest.raises(InputError, match=r"accuracy drop of 1.5 is outside \[0, 1\]"):
        MaxDrop(1.5)
    with pytest.raises(InputError, match="limit of -1 bit operations"):
        MaxBitOps(-1)
    with pytest.raises(InputError, match="limit of nan bit operations"):
        MaxBitOps(float("nan"))
