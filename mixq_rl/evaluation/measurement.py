"""Measured executions of whole networks."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import torch

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.devices import deterministic
from mixq_rl.errors import ScaleError, SumOverflowError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.timing import check_repeats, median_seconds
from mixq_rl.integer.model import IntegerModel
from mixq_rl.integer.size import float_bytes
from mixq_rl.metering import FLOAT_BITS, OpMeter
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.preparation import PreparedNetwork

__all__ = ["float_execution", "measure_reference", "metered", "reference_of"]


T = TypeVar("T")


def measure_reference(
    model: QuantizableModel, task: GraphTask, *, split: Split = "validation", timing_repeats: int = 1
) -> Evaluation:
    """Return the evaluation of ``model`` executed in float32.

    Args:
        model: float-trained model.
        task: task of the model.
        split: split whose inputs are executed and measured by the metric of the task.
        timing_repeats: as in :class:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator`.

    Raises:
        InputError: for less than one timing repeat.
    """
    execute = float_execution(model, task, split)
    logits, meter, seconds = metered(execute, timing_repeats, task.device)
    if logits.is_cuda:  # the timed execution is not deterministic: it is faster, but its rounding differs between runs
        with deterministic(logits.device):
            logits = execute()
    return Evaluation(
        allocation=(FLOAT_BITS,) * len(model.quantizers),
        accuracy=task.score(logits, split),
        bitops=meter.bitops("linear"),
        reduction=1.0,
        product_bitops=meter.bitops("product"),
        product_reduction=1.0,
        bytes=meter.bytes,
        seconds=seconds,
    )


def reference_of(prepared: PreparedNetwork, timing_repeats: int = 1) -> Evaluation:
    """Return the evaluation of a prepared network's float-trained model on the validation split, with its size.

    Arguments and errors are those of :func:`measure_reference`. The size is 0 if no allocation can be frozen.
    """
    reference = measure_reference(prepared.float_model, prepared.task, timing_repeats=timing_repeats)
    lowest = (prepared.bit_widths[0],) * len(prepared.components)
    with suppress(SumOverflowError, ScaleError):
        return replace(reference, size=float_bytes(IntegerModel.freeze(prepared.model, lowest)))
    return reference


def float_execution(model: QuantizableModel, task: GraphTask, split: Split) -> Callable[[], torch.Tensor]:
    """Return a function that executes ``model`` in float32 on the inputs of a split, and returns the logits."""
    inputs = task.inputs(split)

    def execute() -> torch.Tensor:
        with model.evaluating(), model.allocated(None):
            logits: torch.Tensor = model(inputs.x, inputs.graph)
        return logits

    return execute


def metered(execute: Callable[[], T], timing_repeats: int, device: torch.device) -> tuple[T, OpMeter, float]:
    """Return the result of one execution, its meter, and its seconds, or the median of ``timing_repeats`` later ones.

    Raises:
        InputError: for less than one timing repeat.
    """
    check_repeats(timing_repeats)
    with OpMeter() as first:
        result = execute()
    if timing_repeats == 1:
        return result, first, first.seconds
    (seconds,) = median_seconds([execute], timing_repeats, device)
    return result, first, seconds
