"""What else a user could run on a CPU: 8-bit products of torch, float16 and bfloat16, and compiled networks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch_geometric
from contestants import Contestant
from torch import Tensor

__all__ = ["network_rivals", "product_rivals"]

_HALVES = (torch.bfloat16, torch.float16)
_SLOWER = 10  # a dtype without products takes a hundred times as long as float32
_AGREES = 0.05


def product_rivals(rows: int, inputs: int, outputs: int) -> dict[str, Contestant]:
    """Return calls of torch's products of a matrix and a weight, each as its authors mean it to be used.

    ``torch.ao dynamic`` takes float32 activations, quantizes them on the way in, and returns float32, on the engine
    named. ``oneDNN static`` takes uint8 activations that were quantized before, and returns uint8, as the fused integer
    kernel does. A dtype for which the processor has no products is left out.

    Raises:
        AssertionError: for a rival that computes something else than float32, beyond what its bits explain.
    """
    x, weight = torch.randn(rows, inputs), torch.randn(inputs, outputs)
    expected = x @ weight
    calls: dict[str, Contestant] = {}
    for dtype in _HALVES:
        left, right, name = x.to(dtype), weight.to(dtype), f"torch.mm {str(dtype).removeprefix('torch.')}"
        if _seconds(lambda left=left, right=right: left[:64] @ right) > _SLOWER * _seconds(lambda: x[:64] @ weight):
            print(f"  without {name}: this processor has no products of it")
            continue
        calls[name] = lambda left=left, right=right: left @ right
    calls |= {f"torch.ao dynamic, {engine}": _dynamic(engine, weight, x) for engine in ("x86", "onednn")}
    for name, call in calls.items():
        _check(name, call(), expected)
    calls["oneDNN static"] = _static(x, weight, expected)
    return calls


def _seconds(call: Contestant) -> float:
    call()
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _dynamic(engine: str, weight: Tensor, x: Tensor) -> Contestant:
    with _engine(engine):
        scale = float(weight.abs().max()) / 127
        packed = torch.ops.quantized.linear_prepack(torch.quantize_per_tensor(weight.T, scale, 0, torch.qint8), None)

    def call() -> Tensor:
        with _engine(engine):
            result: Tensor = torch.ops.quantized.linear_dynamic(x, packed)
        return result

    return call


@contextmanager
def _engine(name: str) -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def _static(x: Tensor, weight: Tensor, expected: Tensor) -> Contestant:
    x_scale, zero_point = float(x.max() - x.min()) / 255, round(float(-x.min() / (x.max() - x.min()) * 255))
    integers = (x / x_scale + zero_point).round().clamp(0, 255).to(torch.uint8)
    scale = weight.abs().amax(dim=0) / 127
    packed = torch.ops.onednn.qlinear_prepack((weight / scale).round().to(torch.int8).T.contiguous(), list(x.shape))
    result_scale = float(expected.max() - expected.min()) / 255
    result_zero = round(float(-expected.min()) / result_scale)
    zeros = torch.zeros(weight.shape[1], dtype=torch.int32)

    def call() -> Tensor:
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            integers,
            x_scale,
            zero_point,
            packed,
            scale,
            zeros,
            None,
            result_scale,
            result_zero,
            torch.uint8,
            "none",
            [],
            "",
        )
        return result

    _check("oneDNN static", (call().float() - result_zero) * result_scale, expected)
    return call


def _check(name: str, found: object, expected: Tensor) -> None:
    assert isinstance(found, Tensor)
    error = float((found.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt())
    assert error < _AGREES, f"{name} is off by {error:.1%} of float32"


def network_rivals(x: Tensor, edge_index: Tensor, network: Callable[[], torch.nn.Module]) -> dict[str, Contestant]:
    """Return calls of PyTorch Geometric's network compiled by torch, and in bfloat16, on a sparse adjacency.

    Args:
        x: features, ``[nodes, features]``.
        edge_index: sources and targets, ``[2, edges]``.
        network: makes a network that caches its normalisation.
    """
    nodes = x.shape[0]
    index = torch_geometric.EdgeIndex(edge_index, sparse_size=(nodes, nodes)).sort_by("col")[0]
    compiled = torch.compile(network(), dynamic=False)
    calls: dict[str, Contestant] = {"PyG, torch.compile": lambda: compiled(x, edge_index)}
    half, narrow = network().bfloat16(), x.bfloat16()
    calls["PyG, bfloat16"] = lambda: half(narrow, index.as_tensor())
    with torch.no_grad():
        for call in calls.values():
            call()
    return calls
