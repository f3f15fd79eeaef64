import copy
import itertools

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.training.loop import Schedule, Score, optimize


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": -1}, "-1 epochs: at least 0 are needed"),
        ({"batch_size": 0}, "a batch of 0: at least 1 is needed"),
        ({"learning_rate": -0.1}, "must not be negative"),
        ({"weight_decay": float("nan")}, "must not be negative"),
        ({"scale_learning_rate": -1.0}, "must not be negative"),
        ({"label_weight": -1.0}, "label weight -1.0 is negative"),
        ({"decay": "linear"}, "unknown decay 'linear': known are 'cosine' and 'plateau'"),
    ],
)
def test_values_out_of_bounds_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Schedule(**{"epochs": 1, "learning_rate": 0.1, **arguments})  # type: ignore[arg-type]


def test_lasting_changes_the_epochs_alone() -> None:
    schedule = Schedule(epochs=7, learning_rate=0.5, decay="plateau")
    assert schedule.lasting(None) == schedule
    assert schedule.lasting(3) == Schedule(epochs=3, learning_rate=0.5, decay="plateau")


@pytest.fixture
def model(task: GraphTask) -> mixq_rl.QuantizableModel:
    return mixq_rl.build_model("gcn", task, hidden_channels=4)


def weight(model: mixq_rl.QuantizableModel) -> torch.Tensor:
    return next(model.parameters())


def steps(model: mixq_rl.QuantizableModel, schedule: Schedule, scores: list[Score] | None = None) -> list[float]:
    """How far each epoch moves a weight whose gradient is always 1."""
    seen = [float(weight(model).detach().flatten()[0])]
    left = iter(scores or [])
    optimize(
        model,
        schedule,
        lambda: [None],
        lambda _: weight(model).sum(),
        None if scores is None else lambda: next(left),
        lambda done, total: seen.append(float(weight(model).detach().flatten()[0])),
    )
    return [before - after for before, after in itertools.pairwise(seen)]


def test_cosine_decays_to_nothing(model: mixq_rl.QuantizableModel) -> None:
    moved = steps(model, Schedule(epochs=10, learning_rate=0.1, weight_decay=0.0))
    assert moved[0] == pytest.approx(0.1, rel=1e-3)
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.01


def test_plateau_halves_the_rate_where_nothing_gets_better(model: mixq_rl.QuantizableModel) -> None:
    schedule = Schedule(epochs=24, learning_rate=0.1, weight_decay=0.0, decay="plateau")
    moved = steps(model, schedule, [(0.5, -1.0)] * 25)
    assert moved[0] == pytest.approx(0.1, rel=1e-3)
    assert moved[-1] == pytest.approx(0.025, rel=1e-2)
    better = [(0.5, -1.0 + 0.01 * epoch) for epoch in range(25)]
    assert steps(model, schedule, better)[-1] == pytest.approx(0.1, rel=1e-3)


def test_plateau_is_constant_without_validation(model: mixq_rl.QuantizableModel) -> None:
    moved = steps(model, Schedule(epochs=20, learning_rate=0.1, weight_decay=0.0, decay="plateau"))
    assert moved == pytest.approx([0.1] * 20, rel=1e-3)


def test_leaves_the_model_at_its_best_epoch_equals_by_loss(model: mixq_rl.QuantizableModel) -> None:
    states: list[torch.Tensor] = []
    scores = [(0.5, -2.0), (0.7, -2.0), (0.7, -1.0), (0.7, -1.5), (0.6, 0.0)]
    left = iter(scores)

    def validate() -> Score:
        states.append(weight(model).detach().clone())
        assert not model.training
        return next(left)

    optimize(model, Schedule(4, 0.1), lambda: [None], lambda _: weight(model).sum(), validate, None)
    assert torch.equal(weight(model), states[2])
    assert not model.training


def test_scales_have_a_rate_of_their_own_and_do_not_decay(model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    model.calibrate(task.x, task.edge_index, (4,))
    before = copy.deepcopy(model.state_dict())
    schedule = Schedule(3, learning_rate=0.0, weight_decay=0.5, scale_learning_rate=0.05)

    def loss(_: None) -> torch.Tensor:
        with model.allocated([4] * 9):
            total: torch.Tensor = model(task.x, task.edge_index).square().sum()
            return total

    optimize(model, schedule, lambda: [None], loss, None, None)
    of_quantizers = {id(p): quantizer.name for quantizer in model.quantizers for p in quantizer.parameters()}
    moved = {id(p) for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert moved <= set(of_quantizers)


def test_every_batch_is_a_step(model: mixq_rl.QuantizableModel) -> None:
    taken: list[int] = []

    def loss(batch: int) -> torch.Tensor:
        taken.append(batch)
        return weight(model).sum()

    optimize(model, Schedule(2, 0.1), lambda: [1, 2, 3], loss, None, None)
    assert taken == [1, 2, 3] * 2
