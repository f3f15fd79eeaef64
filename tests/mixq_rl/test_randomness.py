import random

import numpy as np
import pytest
import torch

from mixq_rl.randomness import RandomStream, seeded
from tests.pretended_device import ELSEWHERE, pretended_gpu


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seeded_leaves_the_caller_s_generator_untouched() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with seeded(7):
        first = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(7):
        assert torch.equal(torch.rand(2), first)


def test_stream_goes_on_where_it_left_and_leaves_the_others_alone() -> None:
    whole = RandomStream(3)
    with whole.active():
        expected = [draw(), draw()]
    parts = RandomStream(3)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    outside = []
    with parts.active():
        got = [draw()]
    outside.append(draw())
    with parts.active():
        got.append(draw())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert got == expected
    assert outside == [draw()]
    assert draw() not in expected


def test_only_the_generators_in_use_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    with pretended_gpu():
        monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
        with seeded(7):
            pass
        assert seeds == []
        with seeded(7, ELSEWHERE):
            pass
        assert seeds == [7]
