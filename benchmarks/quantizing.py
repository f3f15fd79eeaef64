"""Quantization of features: the native pass, torch's way in float64, and torch's own quantized tensors."""

import warnings
from typing import Any

import torch
from contestants import BITS, Contestant
from graphs import SHAPES
from measuring import interleaved
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.quantization import Granularity, IntegerRange, Quantizer

__all__ = ["measure_quantizing", "print_quantizing"]

_RIVAL = "torch.quantize_per_tensor"
_ROW_EXPONENT = 20


def measure_quantizing(name: str, seconds: float, device: str) -> dict[str, Any]:
    """Return milliseconds for features of a shape: bag-of-words features where there are many of them.

    The names are ``native``, ``torch`` or ``sparse``, the granularity of the scales, and the bits. ``sparse`` is the
    native pass over features in CSR, if most features are zero.
    """
    shape = SHAPES[name]
    x = torch.randn(shape.nodes, shape.features, device=device)
    x = (x > 2.2).float() if shape.features > 1000 else x
    scale = x.abs().max().item() / 127
    contestants: dict[str, Contestant] = {_RIVAL: lambda: torch.quantize_per_tensor(x, scale, 0, torch.qint8)}
    sparse = x.to_sparse_csr() if shape.features > 1000 else None
    for granularity in Granularity:
        for bits in BITS:
            contestants |= _contestants(x, sparse, granularity, bits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, that its quantized tensors will go
        times = interleaved(contestants, seconds, device)
    return {"milliseconds": {name: 1e3 * value for name, value in times.items()}}


def _contestants(x: Tensor, sparse: Tensor | None, granularity: Granularity, bits: int) -> dict[str, Contestant]:
    offered = IntegerRange(bits, signed=True)
    magnitude = x.abs().amax(dim=0) if granularity is Granularity.COLUMN else x.abs().max()
    scale = magnitude.double().clamp(min=1e-3) / offered.maximum if granularity is not Granularity.ROW else None
    own = torch.tensor(1 / offered.maximum, dtype=torch.float64, device=x.device) if scale is None else scale
    quantizer = Quantizer(offered, own, row_exponent=_ROW_EXPONENT if scale is None else None)
    label = f"{granularity.value} {bits}"
    contestants: dict[str, Contestant] = {
        f"native {label}": lambda: kernels.quantize(x, quantizer),
        f"torch {label}": lambda: quantizer.quantize(x),
    }
    if sparse is not None:
        contestants[f"sparse {label}"] = lambda: kernels.quantize(sparse, quantizer)
    return contestants


def print_quantizing(entry: dict[str, Any]) -> None:
    """Print what :func:`measure_quantizing` returned."""
    times = entry["milliseconds"]
    print(f"quantize, {entry['graph']}: {_RIVAL} {times[_RIVAL]:.3f} ms")
    for granularity in Granularity:
        for bits in BITS:
            label = f"{granularity.value} {bits}"
            ways = [way for way in ("native", "sparse", "torch") if f"{way} {label}" in times]
            listed = ", ".join(f"{way} {times[f'{way} {label}']:.3f} ms" for way in ways)
            print(f"  {label} bits: {listed}", flush=True)
