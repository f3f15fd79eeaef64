"""Detection of changes to a network."""

from torch import Tensor, nn

__all__ = ["ModelState"]


class ModelState:
    """State of a network's parameters and buffers, by torch's version counters.

    Detected are writes to tensors through torch, and replaced modules, parameters and buffers. Writes that bypass torch
    (``parameter.data``, numpy) are not detected. Inference tensors have no version counter: a network with such tensors
    always counts as changed.

    Args:
        model: the network.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = tuple(model.modules())
        self._children, self._tensors = self._members()
        self._versions = self._read()

    def holds(self) -> bool:
        """Return whether the network has not changed since this object was made."""
        if None in self._versions:
            return False
        children, tensors = self._members()
        same = _identical(children, self._children) and _identical(tensors, self._tensors)
        return same and self._read() == self._versions

    def _members(self) -> tuple[list[object], list[object]]:
        children = [child for module in self._modules for child in module._modules.values()]
        tensors: list[object] = [tensor for module in self._modules for tensor in module._parameters.values()]
        tensors += [tensor for module in self._modules for tensor in module._buffers.values()]
        return list(children), tensors

    def _read(self) -> list[tuple[int, int] | None]:
        return [_version(tensor) for tensor in self._tensors if isinstance(tensor, Tensor)]


def _version(tensor: Tensor) -> tuple[int, int] | None:
    # Inference tensors have no version counter.
    return None if tensor.is_inference() else (tensor._version, tensor.data_ptr())


def _identical(these: list[object], others: list[object]) -> bool:
    return len(these) == len(others) and all(one is other for one, other in zip(these, others, strict=True))
