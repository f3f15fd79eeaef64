"""Initial scales of a model's components, from training data."""

from collections.abc import Sequence

from mixq_rl.datasets import GraphTask
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import Scheme, check_bit_widths, schemes

__all__ = ["calibrate"]


def calibrate(
    model: QuantizableModel, task: GraphTask, bit_widths: Sequence[int], scheme: Scheme = schemes["lsq"]
) -> tuple[int, ...]:
    """Give every component of ``model`` scales for each bit-width, from the float values on training data.

    Args:
        model: float-trained; changed in place.
        task: gives the data: the graph, or 128 training graphs.
        bit_widths: on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.

    Returns:
        the bit-widths, ascending.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if at the highest bit-width an int32 sum might overflow.
    """
    offered = check_bit_widths(tuple(bit_widths))
    inputs = task.calibration_inputs
    model.calibrate(inputs.x, inputs.graph, offered, scheme)
    IntegerModel.freeze(model, [offered[-1]] * len(model.quantizers)).quantize_graph(inputs.graph)
    return offered
