import json

import pytest
import torch

from mixq_rl.errors import InputError, UnknownNameError
from mixq_rl.quantization import MeanSquaredError, MinMax, MovingAverage, Percentile, Protection, Scheme, schemes
from mixq_rl.storage.artifacts import pack, unpack

SCHEMES = [
    *(schemes[name] for name in schemes),
    Scheme(Percentile(0.99, 0.5), learn_scales=True, protection=Protection(0, 1), scales_per_component=3),
    Scheme(MovingAverage(1), learn_scales=False),
]


def test_the_known_schemes() -> None:
    assert list(schemes) == ["lsq", "min-max", "moving-average", "percentile", "degree-quant", "a2q"]
    assert schemes["lsq"] == Scheme() == Scheme(MeanSquaredError(), learn_scales=True)
    assert schemes["Degree-Quant"].protection == Protection(0.0, 0.1)
    assert schemes["a2q"].scales_per_component == 64


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown quantization scheme 'aq2': known are lsq, .* mean 'a2q'\?"):
        _ = schemes["aq2"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_are_stored_as_plain_data(scheme: Scheme) -> None:
    tensors: dict[str, torch.Tensor] = {}
    data = json.loads(json.dumps(pack(scheme, "scheme", tensors)))
    assert not tensors
    assert unpack(data, Scheme, "scheme", {}) == scheme


def test_combinations_that_cannot_be_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"MeanSquaredError chooses scales once, at calibration: learn them from there"
    ):
        Scheme(learn_scales=False)
    with pytest.raises(InputError, match="4 scales for a component are learned: take learn_scales=True"):
        Scheme(MinMax(), learn_scales=False, scales_per_component=4)
    with pytest.raises(InputError, match="0 scales for a component: at least 1 is needed"):
        Scheme(scales_per_component=0)
