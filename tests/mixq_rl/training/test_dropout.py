import pytest
import torch
from torch import nn

import mixq_rl
from mixq_rl.nn.operator import Dropout
from mixq_rl.training import calibrate, fine_tune
from mixq_rl.training.dropout import fading_dropout
from tests.mixq_rl.datasets.small_graphs import make_graph_task


def test_dropout_fades_out_over_the_epochs_and_comes_back() -> None:
    model = nn.Sequential(Dropout(0.6), nn.Dropout(0.2))
    done: list[tuple[int, int]] = []
    with fading_dropout(model, lambda epoch, epochs: done.append((epoch, epochs))) as fade:
        seen = []
        for epoch in range(1, 5):
            fade(epoch, 4)
            seen.append((model[0].p, model[1].p))
    torch.testing.assert_close(torch.tensor(seen)[:, 0], torch.tensor([0.5121, 0.3, 0.0879, 0.0]), atol=1e-4, rtol=0)
    assert all(second == pytest.approx(first / 3) for first, second in seen)
    assert (model[0].p, model[1].p) == (0.6, 0.2)
    assert done == [(epoch, 4) for epoch in range(1, 5)]


def test_dropout_comes_back_after_an_error() -> None:
    model = nn.Sequential(Dropout(0.5))

    def interrupted() -> None:
        with fading_dropout(model, None) as fade:
            fade(2, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model[0].p == 0.5


def test_a_fine_tuned_network_has_the_dropout_of_the_original() -> None:
    task = make_graph_task(weighted=False)
    model = mixq_rl.build_model("gcn", task, hidden_channels=8, num_layers=1)
    calibrate(model, task, (4,))
    dropout = next(module for module in model.modules() if isinstance(module, Dropout))
    seen: list[float] = []
    tuned = fine_tune(model, task, [4] * len(model.quantizers), epochs=2, progress=lambda *_: seen.append(dropout.p))
    assert seen == [0.2, 0.2]  # a copy is trained
    assert [module.p for module in tuned.modules() if isinstance(module, Dropout)] == [0.2]
