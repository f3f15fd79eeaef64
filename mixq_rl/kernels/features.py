"""Quantization of features: one native pass over those of the CPU, dense or sparse, and torch for all others."""

from typing import Any

import torch
from torch import Tensor

from mixq_rl.conditions import check_finite
from mixq_rl.errors import InvalidGraphError
from mixq_rl.extents import check_held
from mixq_rl.kernels import cpu, library
from mixq_rl.kernels.entries import Entries, checked_entries, stored_entries
from mixq_rl.native import extension
from mixq_rl.quantization import FixedPoint, PackedRows, QTensor, Quantizer, row_magnitude

__all__ = ["quantize"]

_PLAIN = (Tensor, torch.nn.Parameter)
_INDEX_NAMES = {torch.int32: "int32", torch.int64: "int64"}
_CHANGED = "the features were written to during the call, and were wrong in between"


def quantize(x: Tensor, quantizer: Quantizer) -> QTensor:
    """Return what ``quantizer.quantize(x)`` returns, of features that are checked to be finite.

    On a CPU, float32 and float64 take one pass over memory by the instruction set of the backend. Entries that sparse
    features do not have are 0, and no dense matrix of them is made. Half precision is converted to float32 first.
    Features of a GPU, those that torch traces, and backends that are not native take torch.

    Args:
        x: ``[rows, columns]``, floating point; dense, ``torch.sparse_csr`` or ``torch.sparse_coo``.
        quantizer: the quantizer.

    Raises:
        InvalidGraphError: naming a row that is not finite.
        InputError: for indices of sparse features that are out of bounds.
        ScaleError: if a row's magnitude is too far above those of the calibration data.
    """
    instruction_set = _instruction_set(x, quantizer)
    if instruction_set is None:
        x = _dense(x)
        check_finite(x)
        return quantizer.quantize(x)
    x = x.detach()
    if x.layout is not torch.strided:
        return _of_sparse(x, quantizer)
    x = _in_native_dtype(x.resolve_neg())
    check_held((("x", x),))
    if x.stride(1) != 1 and x.shape[1] > 1:
        x = x.contiguous()
    result = _Result(x.shape[0], x.shape[1], quantizer)
    size = x.data_ptr(), *x.shape, x.stride(0), x.dtype == torch.float64
    result.met = extension().quantize(instruction_set, *size, *result.arguments)
    return result.checked(x)


def _instruction_set(x: Tensor, quantizer: Quantizer) -> str | None:
    """Return the instruction set for the native pass, or None if torch is to quantize."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch._C._len_torch_dispatch_stack():
        return None
    if type(x) not in _PLAIN or x.device.type != "cpu" or x._is_zerotensor():
        return None
    if x.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        return None
    if x.layout is not torch.strided and x.dense_dim():
        return None
    scale = quantizer.scale
    if scale.numel() != 1 and tuple(scale.shape) not in ((x.shape[1],), (1, x.shape[1])):
        return None
    if type(scale) not in _PLAIN or scale.device.type != "cpu":
        return None
    name = library.chosen()
    return name if name in cpu.instruction_sets() else None


def _in_native_dtype(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _dense(x: Tensor) -> Tensor:
    """Return features as a dense tensor; on a CPU, indices of sparse ones are checked before they are followed."""
    if x.layout is torch.strided:
        return x
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.dense_dim():
        return x.to_dense()
    return checked_entries(x.detach()).to_dense()


def _of_sparse(x: Tensor, quantizer: Quantizer) -> QTensor:
    entries = stored_entries(x, extension().row_begins)
    result = _Result(x.shape[0], x.shape[1], quantizer)
    if entries is not None:
        _quantize_entries(entries, result)
    if entries is None or result.met & extension().DISORDER:  # rare: the indices are wrong, not sorted, or repeated
        entries = checked_entries(x)
        _quantize_entries(entries, result)
    return result.checked(entries)


def _quantize_entries(entries: Entries, result: "_Result") -> None:
    begin, column, value = entries.begin.contiguous(), entries.column.contiguous(), entries.value.contiguous()
    value = _in_native_dtype(value)
    kind = "double" if value.dtype == torch.float64 else "float"
    run = getattr(extension(), f"quantize_csr_{kind}_{_INDEX_NAMES[begin.dtype]}")
    place = begin.data_ptr(), column.data_ptr(), value.data_ptr()
    result.met = run(*place, *entries.shape, value.numel(), *result.arguments)


class _Result:
    """Memory of a result, and what the native pass has met."""

    def __init__(self, rows: int, columns: int, quantizer: Quantizer) -> None:
        offered, self._quantizer = quantizer.range, quantizer
        exponent, by_column = quantizer.row_exponent, quantizer.scale.numel() != 1
        self._payload = PackedRows(
            torch.empty((rows, offered.row_bytes(columns)), dtype=offered.storage_dtype, device="cpu"), columns, offered
        )
        self._row: FixedPoint | None = None
        if exponent is not None:
            self._row = FixedPoint(torch.empty((rows, 1), dtype=torch.int32, device="cpu"), exponent)
        check_held((("scale", quantizer.scale),))
        self._scale = quantizer.scale.detach().contiguous()  # kept while its address is in use
        how = extension().Quantization(
            self._scale.data_ptr(),
            by_column,
            exponent is not None,
            1.0 if exponent is None else 2.0**exponent,
            quantizer.zero_point,
            offered.minimum,
            offered.maximum,
            offered.is_sign,
            offered.storage_bits,
        )
        mantissa = 0 if self._row is None else self._row.mantissa.data_ptr()
        self.arguments: tuple[Any, ...] = (how, self._payload.data.data_ptr(), mantissa, torch.get_num_threads())
        self.met = 0

    def checked(self, x: Tensor | Entries) -> QTensor:
        """Return the result, or raise the error of torch's way for what the pass has met."""
        if self.met:
            magnitude = row_magnitude(x) if isinstance(x, Tensor) else x.row_magnitude()
            check_finite(magnitude)
            if self._row is not None:
                FixedPoint.nearest(magnitude, self._row.exponent)
            raise InvalidGraphError(_CHANGED)
        return QTensor(self._payload, self._quantizer.scale, self._quantizer.zero_point, self._row)
