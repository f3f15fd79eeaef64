from dataclasses import replace

import pytest

from mixq_rl.envs import TradeOff
from mixq_rl.evaluation import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)
QUANTIZED = replace(FLOAT, accuracy=0.75, reduction=8.0)


@pytest.mark.parametrize(
    ("preference", "reward"),
    [(0.0, -0.5), (1.0, 3 / 4), (0.5, 0.5 * -0.5 + 0.5 * 3 / 4)],
)
def test_trade_off_is_the_formula_of_the_design(preference: float, reward: float) -> None:
    assert TradeOff()(QUANTIZED, FLOAT, preference) == pytest.approx(reward)


@pytest.mark.parametrize("preference", [0.0, 0.3, 1.0])
def test_float_itself_is_worth_nothing(preference: float) -> None:
    assert TradeOff()(FLOAT, FLOAT, preference) == 0
