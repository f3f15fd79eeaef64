import time
import warnings
from collections.abc import Callable

import pytest
import torch

import mixq_rl
from mixq_rl.errors import InputError
from mixq_rl.evaluation.timing import median_seconds
from mixq_rl.metering import OpMeter, OpRecord, operation, unmetered

CPU = torch.device("cpu")
RECORD = OpRecord("linear", "x", "w", "m", (3, 5, 7), 2, 4, 8, bytes=10)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_executions_take_turns() -> None:
    order: list[str] = []

    def execution(name: str) -> Callable[[], None]:
        def execute() -> None:
            with operation(lambda: RECORD, CPU):
                order.append(name)

        return execute

    with OpMeter() as meter:
        seconds = median_seconds([execution("a"), execution("b")], 3, CPU)
    assert order == ["a", "b"] * 4  # the first ones warm up
    assert len(seconds) == 2
    assert all(taken > 0 for taken in seconds)
    assert meter.records == []


def test_the_seconds_are_those_of_the_whole_call() -> None:
    """Also of what no meter records, such as sums of two values."""
    (seconds,) = median_seconds([lambda: time.sleep(0.01)], 3, CPU)
    assert 0.01 <= seconds < 1


def test_less_than_one_repeat_is_refused() -> None:
    with pytest.raises(InputError, match="0 timing repeats: at least 1 is needed"):
        median_seconds([], 0, CPU)


def test_meters_hear_nothing_of_what_is_captured() -> None:
    with OpMeter() as meter:
        with unmetered(), operation(lambda: RECORD, CPU):
            pass
        with operation(lambda: RECORD, CPU):
            pass
    assert len(meter.records) == 1


@pytest.mark.gpu
@needs_gpu
def test_a_graph_is_replayed() -> None:
    device, calls = torch.device("cuda"), []
    x = torch.zeros(10, device=device)

    def execute() -> None:
        calls.append(1)
        x.add_(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (seconds,) = median_seconds([execute], 5, device)
    assert seconds > 0
    assert len(calls) == 4  # three to warm up, one that is captured
    assert x[0] == 3 + 1 + 5


@pytest.mark.gpu
@needs_gpu
def test_what_synchronizes_is_executed_as_it_is() -> None:
    device = torch.device("cuda")
    x = torch.ones(10, device=device)
    with pytest.warns(RuntimeWarning, match="cannot be captured as a CUDA graph"):
        (seconds,) = median_seconds([lambda: x.sum().item()], 5, device)
    assert seconds > 0
    assert float(x.sum()) == 10  # the device can still be used


@pytest.mark.gpu
@needs_gpu
def test_networks_are_captured(task: mixq_rl.GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    moved = task.to("cuda")  # type: ignore[attr-defined]
    model = mixq_rl.build_model("gcn", moved, hidden_channels=16).to("cuda")
    evaluator = mixq_rl.PostTrainingEvaluator(model, moved, bit_widths=(2, 8))
    evaluator.timing_repeats = 3
    frozen = evaluator.freeze((8,) * 9)
    evaluator.measure(frozen, "validation", timing_repeats=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(taken > 0 for taken in evaluator.time_together([frozen]))
