"""Extents of tensors in memory: whether their storage holds them, and whether a result would overlap an operand."""

from collections.abc import Iterable

from torch import Tensor

from mixq_rl.errors import InputError

__all__ = ["check_apart", "check_held"]


def check_held(tensors: Iterable[tuple[str, Tensor | None]]) -> None:
    """Check that the storage of each named tensor holds all of its entries: a storage may have been resized.

    Raises:
        InputError: naming the tensor.
    """
    for name, tensor in tensors:
        if tensor is None:
            continue
        needed = (tensor.storage_offset() + _span(tensor)) * tensor.element_size()
        if needed > tensor.untyped_storage().nbytes() and tensor.numel():
            raise InputError(
                f"{name} of shape {tuple(tensor.shape)} needs {needed} bytes of storage, but there are "
                f"{tensor.untyped_storage().nbytes()}: the storage was resized"
            )


def check_apart(out: Tensor, tensors: Iterable[tuple[str, Tensor | None]]) -> None:
    """Check that the memory between the first and the last entry of ``out`` is not that of any named tensor.

    Addresses are compared, so that tensors are found to overlap whose storages differ, such as those of one numpy
    array. Memory that is mapped to several addresses is not recognized.

    Raises:
        InputError: naming the tensor that ``out`` overlaps.
    """
    begin, end = _addresses(out)
    for name, tensor in tensors:
        if tensor is None or not tensor.numel() or begin == end:
            continue
        first, last = _addresses(tensor)
        if first < end and begin < last:
            raise InputError(f"out overlaps {name}: give the result memory of its own")


def _span(tensor: Tensor) -> int:
    """Return the number of entries of storage from the first entry of a tensor to its last."""
    if tensor.is_contiguous() or not tensor.numel():
        return tensor.numel()
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _addresses(tensor: Tensor) -> tuple[int, int]:
    """Return the address of the first byte, and that of the byte behind the last."""
    begin = tensor.data_ptr()
    return begin, begin + _span(tensor) * tensor.element_size()
