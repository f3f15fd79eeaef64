"""Which weights decay in training."""

from torch import nn

from mixq_rl.quantization import LearnedQuantizer

__all__ = ["undecayed"]

_FEW_BITS = 2


def undecayed(model: nn.Module) -> set[int]:
    """Return the ids of the parameters that are weights quantized to 1 or 2 bits.

    They have scales of their own, so decay does not make the function smoother, but draws weights towards 0 among
    their few levels. A GCN of 2 bits on CiteSeer loses 6.5 instead of 11.6 points on validation data without decay
    (docs/results.md). Weights of more bits keep it.

    Args:
        model: model with an allocation in force, or without: then there are none.
    """
    found = set()
    for module in model.modules():
        quantizer, weight = getattr(module, "weight_quantizer", None), getattr(module, "weight", None)
        if not isinstance(quantizer, LearnedQuantizer) or not isinstance(weight, nn.Parameter):
            continue
        if quantizer.bits is not None and quantizer.bits <= _FEW_BITS:
            found.add(id(weight))
    return found
