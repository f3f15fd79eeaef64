"""Which weights decay in fine-tuning."""

from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.training import calibrate, default_schedule, fine_tune
from mixq_rl.training.weight_decay import undecayed


@pytest.mark.parametrize("name", ["gcn", "sage", "gin", "gat", "gatv2", "tag"])
def test_weights_of_one_and_two_bits_do_not_decay(task: GraphTask, name: str) -> None:
    model = mixq_rl.build_model(name, task, hidden_channels=8)
    calibrate(model, task, (1, 2, 3, 8))
    weights = [quantizer for quantizer in model.quantizers if quantizer.kind == "weight"]
    for bits, number in ((1, len(weights)), (2, len(weights)), (3, 0), (8, 0)):
        with model.allocated([bits] * len(model.quantizers)):
            found = undecayed(model)
            assert len(found) == number
            assert found <= {id(parameter) for parameter in model.parameters()}
    assert not undecayed(model)  # in float


def test_decay_draws_other_weights_to_zero_alone(task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    calibrate(model, task, (1, 4))
    for path, parameter in model.named_parameters():
        parameter.requires_grad_(not path.endswith("bias"))  # biases decay at all bits
    schedule = replace(default_schedule("fine-tune", task), epochs=20, weight_decay=1.0, decay="plateau")

    def norm(bits: int, decay: float) -> float:
        allocation = [bits] * len(model.quantizers)
        tuned = fine_tune(model, task, allocation, schedule=replace(schedule, weight_decay=decay))
        return sum(float(p.detach().norm()) for name, p in tuned.named_parameters() if name.endswith("weight"))

    assert norm(1, 1.0) == norm(1, 0.0)
    assert norm(4, 1.0) < norm(4, 0.0)


def test_a_model_without_quantized_weights_has_none(task: GraphTask) -> None:
    assert undecayed(torch.nn.Linear(2, 2)) == set()
