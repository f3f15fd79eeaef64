"""The implementations that are compared: integer kernels at each bit-width, and those of float users."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric
from native import float_aggregate
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

__all__ = ["BITS", "OWN", "Contestant", "float_aggregates", "integer_aggregates", "integer_linears", "random_rows"]

BITS = (8, 4, 2, 1)
OWN = "our scheduling"
# Message passing by scatter holds numbers for every edge and feature, several times.
SCATTER_LIMIT = 4 * 2**30
SCATTER_COPIES = 2.5
SEEN = 1000  # rows that are compared

Contestant = Callable[[], object]


def random_rows(rows: int, columns: int, offered: IntegerRange, device: torch.device | str) -> PackedRows:
    """Return packed rows whose bits are drawn, those past the last column too."""
    data = torch.randint(0, 256, (rows, offered.row_bytes(columns)), dtype=torch.uint8, device=device)
    return PackedRows(data.view(offered.storage_dtype), columns, offered)


def integer_aggregates(
    rowptr: Tensor, col: Tensor, width: int, *, weighted: bool = True, bits: tuple[int, ...] = BITS
) -> dict[str, Contestant]:
    """Return calls of the kernels: ``sums`` as int32, ``fused`` requantized to as many bits as were read."""
    nodes, device = rowptr.numel() - 1, rowptr.device
    out = torch.empty(nodes, width, dtype=torch.int32, device=device)
    alpha = torch.randint(0, 256, (col.numel(),), dtype=torch.uint8, device=device) if weighted else None
    row = FixedPoint.nearest(torch.rand(nodes, 1, device=device), 30)
    bias = torch.zeros(width, dtype=torch.float64, device=device)
    scale = torch.tensor(1e-3, dtype=torch.float64, device=device)
    contestants: dict[str, Contestant] = {}
    for number in bits:
        packed = random_rows(nodes, width, IntegerRange(number, True), device)
        result = Requantization.from_scales(scale, bias, row.exponent, IntegerRange(number, False), 0)
        contestants |= {
            f"sums {number}": lambda x=packed: kernels.aggregate(rowptr, col, alpha, x, out=out),
            f"fused {number}": lambda x=packed, result=result: kernels.aggregate_requantize(
                rowptr, col, alpha, x, result, row=row
            ),
        }
    return contestants


def integer_linears(
    rows: int, inputs: int, outputs: int, device: torch.device | str, mixed: tuple[tuple[int, int], ...] = ()
) -> dict[str, Contestant]:
    """Return calls of the kernels, as of :func:`integer_aggregates`; both operands have the bits named.

    ``mixed`` adds sums of operands whose bits differ, such as ``sums 4x1``: bits of x and of the weight.
    """
    out = torch.empty(rows, outputs, dtype=torch.int32, device=device)
    row = FixedPoint.nearest(torch.rand(rows, 1, device=device), 26)
    contestants: dict[str, Contestant] = {}
    for bits in BITS:
        left = random_rows(rows, inputs, IntegerRange(bits, False), device)
        right = random_rows(inputs, outputs, IntegerRange(bits, True), device)
        scale = 1e-4 * (1 + torch.rand(outputs, dtype=torch.float64, device=device))
        result = Requantization.from_scales(scale, None, row.exponent, IntegerRange(bits, True), 0)
        contestants |= {
            f"sums {bits}": lambda x=left, weight=right: kernels.linear(x, weight, out=out),
            f"fused {bits}": lambda x=left, weight=right, result=result: kernels.linear_requantize(
                x, weight, result, row=row
            ),
        }
    for pair in mixed:
        left = random_rows(rows, inputs, IntegerRange(pair[0], False), device)
        right = random_rows(inputs, outputs, IntegerRange(pair[1], True), device)
        name = f"sums {pair[0]}x{pair[1]}"
        contestants[name] = lambda x=left, weight=right: kernels.linear(x, weight, out=out)
    return contestants


def float_aggregates(
    rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor, dtypes: tuple[torch.dtype, ...] = (torch.float32,)
) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Return what float users have, and why the others are left out; names end in the dtype unless it is float32.

    Raises:
        AssertionError: for a float32 contestant that computes something else than ``torch.mm``.
    """
    contestants: dict[str, Contestant] = {}
    skipped: dict[str, str] = {}
    nodes = rowptr.numel() - 1
    row = torch.repeat_interleave(torch.arange(nodes, device=col.device), rowptr.diff())
    indices = torch.stack([row, col.long()])
    del row
    expected = torch.mm(_csr(rowptr, col, weight), x)[:SEEN].clone()
    for dtype in dtypes:
        offered = _of_dtype(rowptr, col, indices, weight.to(dtype), x.to(dtype))
        suffix = "" if dtype == torch.float32 else f" {str(dtype).removeprefix('torch.')}"
        for name, (contestant, reason) in offered.items():
            reason = reason or _unfit(contestant, expected, 1e-5 if dtype == torch.float32 else 2e-2)
            if not reason:
                contestants[name + suffix] = contestant
                continue
            if x.device.type == "cpu" and "computes" in reason:
                raise AssertionError(f"{name}{suffix} {reason}")
            skipped[name + suffix] = reason
    return contestants, skipped


def _csr(rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    nodes = rowptr.numel() - 1
    return torch.sparse_csr_tensor(rowptr, col, weight, (nodes, nodes), check_invariants=False)


def _of_dtype(
    rowptr: Tensor, col: Tensor, indices: Tensor, weight: Tensor, x: Tensor
) -> dict[str, tuple[Contestant, str]]:
    nodes = rowptr.numel() - 1
    matrix, sparse_out = _csr(rowptr, col, weight), torch.empty_like(x)
    edge_index = torch_geometric.EdgeIndex(indices, sparse_size=(nodes, nodes), sort_order="row").fill_cache_()
    convolution, flipped = torch_geometric.nn.SimpleConv(aggr="sum"), indices.flip(0)
    needed = SCATTER_COPIES * col.numel() * x.shape[1] * x.element_size()
    free = torch.cuda.mem_get_info()[0] if x.is_cuda else SCATTER_COPIES * SCATTER_LIMIT
    # Captured beside others, which keep their memory.
    too_large = f"holds {needed / 1e9:.0f} GB for its messages" if 3 * needed > free else ""
    offered: dict[str, tuple[Contestant, str]] = {
        "torch.mm CSR": (lambda: torch.mm(matrix, x, out=sparse_out), ""),
        "EdgeIndex": (lambda: edge_index.matmul(x, input_value=weight), ""),
        "PyG scatter": (lambda: convolution(x, flipped, weight), too_large),
    }
    own = _own_scheduling(rowptr, col, weight, x)
    return offered if own is None else offered | {OWN: (own, "")}


def _own_scheduling(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor) -> Contestant | None:
    """Return the float kernel that is scheduled as the integer kernels are; None where there is none."""
    if not x.is_cuda:
        out = torch.empty_like(x)

        def on_cpu() -> Tensor:
            float_aggregate(rowptr, col, weight, x, out)
            return out

        return on_cpu if x.dtype == torch.float32 else None
    from float_aggregate import float_aggregate as on_gpu

    return None if x.dtype == torch.bfloat16 else lambda: on_gpu(rowptr, col, weight, x)


def _unfit(contestant: Contestant, expected: Tensor, tolerance: float) -> str:
    """Return why a contestant takes no part: it fails, or computes something else than expected."""
    try:
        result: Any = contestant()
        seen = result[: expected.shape[0]].float()
        if seen.is_cuda:
            torch.cuda.synchronize()
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    far = float((seen - expected).abs().max() / expected.abs().max())
    return "" if far <= tolerance else f"computes something else: off by {far:.1e} of the largest"
