from dataclasses import replace

import pytest

from mixq_rl.errors import InputError, UnknownNameError
from mixq_rl.evaluation.objective import BITOPS, LATENCY, SIZE, objectives
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0, seconds=0.006, size=800)
QUANTIZED = replace(FLOAT, allocation=(8,), bitops=400.0, reduction=4.0, seconds=0.002, size=320)


def test_saving_is_the_reduction_or_the_speed_up() -> None:
    assert BITOPS.saving(QUANTIZED, FLOAT) == 4
    assert LATENCY.saving(QUANTIZED, FLOAT) == pytest.approx(3)
    assert SIZE.saving(QUANTIZED, FLOAT) == 2.5
    assert LATENCY.saving(FLOAT, QUANTIZED) == pytest.approx(1 / 3)
    assert all(objective.saving(FLOAT, FLOAT) == 1 for objective in map(objectives.__getitem__, objectives))


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    assert objectives["latency"] is LATENCY
    with pytest.raises(
        UnknownNameError, match=r"unknown objective 'bitop': known are bitops, latency, size; did you mean 'bitops'\?"
    ):
        objectives["bitop"]


@pytest.mark.parametrize("untimed", [FLOAT, QUANTIZED])
def test_latency_of_what_was_not_timed_is_refused(untimed: Evaluation) -> None:
    timed = [replace(e, seconds=0.0) if e is untimed else e for e in (QUANTIZED, FLOAT)]
    with pytest.raises(
        InputError, match=rf"allocation \({untimed.allocation[0]},\) has no cost for the objective 'latency'"
    ):
        LATENCY.saving(*timed)
    assert BITOPS.saving(*timed) == 4
