import copy

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import BitWidthError
from mixq_rl.training import prepare_calibrated, prepare_supernet

BITS = (2, 8)


def test_a_supernet_prepared_first_gives_the_same_evaluator(
    task: GraphTask, float_model: mixq_rl.QuantizableModel
) -> None:
    before = copy.deepcopy(float_model.state_dict())
    epochs: list[int] = []
    prepared = prepare_supernet(
        float_model, task, BITS, seed=3, epochs=2, progress=lambda done, total: epochs.append(done)
    )
    assert epochs == [1, 2, 3, 4]  # of the second teacher, and of the supernet
    short = mixq_rl.SupernetEvaluator(float_model, task, bit_widths=BITS, seed=3, epochs=2)
    long = mixq_rl.SupernetEvaluator.of(prepared, seed=3, epochs=2)
    assert long.fingerprint == short.fingerprint
    assert long.freeze([8] * 9)(task.x, task.edge_index).equal(short.freeze([8] * 9)(task.x, task.edge_index))
    assert all(torch.equal(tensor, before[name]) for name, tensor in float_model.state_dict().items())


def test_calibration_trains_nothing(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    prepared = prepare_calibrated(float_model, task, (8, 2))
    assert prepared.bit_widths == BITS
    assert prepared.float_model is float_model
    weights = dict(float_model.named_parameters())
    own = dict(prepared.model.named_parameters())
    assert all(torch.equal(own[name], weight) for name, weight in weights.items())
    assert len(own) > len(weights)  # the scales
    assert torch.allclose(prepared.teacher.sum(dim=1), torch.ones(task.num_nodes))


@pytest.mark.parametrize("prepare", [prepare_calibrated, prepare_supernet])
def test_bit_widths_are_checked_before_anything_is_trained(
    prepare: object, task: GraphTask, float_model: mixq_rl.QuantizableModel
) -> None:
    assert callable(prepare)
    with pytest.raises(BitWidthError):
        prepare(float_model, task, (0, 9), progress=lambda done, total: pytest.fail("trained"))
