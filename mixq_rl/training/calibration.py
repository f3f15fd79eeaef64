"""Calibration: initial scales of a model's components from training data."""

from collections.abc import Sequence

from mixq_rl.datasets import GraphTask
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import Scheme, check_bit_widths, schemes

__all__ = ["calibrate"]


def calibrate(
    model: QuantizableModel, task: GraphTask, bit_widths: Sequence[int], scheme: Scheme = schemes["lsq"]
) -> tuple[int, ...]:
    """Set the scales of every component of ``model`` for each bit-width, from the float values on training data.

    Args:
        model: float-trained model; changed in place.
        task: task with the data: the graph, or 128 training graphs.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.

    Returns:
        The bit-widths, ascending.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if an int32 sum might overflow at the lowest bit-width: no allocation could be executed.
    """
    offered = check_bit_widths(tuple(bit_widths))
    inputs = task.calibration_inputs
    model.metric, model.multi_label, model.classes = task.metric, task.multi_label, task.class_names
    model.calibrate(inputs.x, inputs.graph, offered, scheme)
    IntegerModel.freeze(model, [offered[0]] * len(model.quantizers)).quantize_graph(inputs.graph)
    return offered
