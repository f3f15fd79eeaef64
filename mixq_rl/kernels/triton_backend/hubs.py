"""Last step for hubs: rows whose edges several programs have summed."""

# Constants of a kernel are capitals, as in Triton's own; mypy knows no types for its arguments.
# ruff: noqa: N803
# mypy: disallow_untyped_defs=False, disallow_incomplete_defs=False
# mypy: disable-error-code="import-untyped,import-not-found"

import triton
import triton.language as tl
from torch import Tensor

from mixq_rl.kernels.arguments import Rescale
from mixq_rl.kernels.triton_backend.result import UNSPECIALIZED, rescaling, write

__all__ = ["finish"]

_ROWS = 4
_COLUMNS = 256


def finish(sums: Tensor, hubs: Tensor, rescale: Rescale | None, out: Tensor) -> None:
    """Write int32 ``sums``, ``[hubs, columns]``, to the rows ``hubs`` of ``out``."""
    number, columns = sums.shape
    grid = (-(-number // _ROWS), -(-columns // _COLUMNS))
    _finish[grid](sums, hubs, out, number, columns, **rescaling(rescale), R=_ROWS, C=_COLUMNS)


@triton.jit(do_not_specialize=(*UNSPECIALIZED[:3], "num_hubs"))
def _finish(
    sums,
    hubs,
    out,
    num_hubs,
    num_columns,
    multiplier,
    shift,
    row,
    row_shift,
    bias,
    zero_point,
    PER_COLUMN: tl.constexpr,
    BITS: tl.constexpr,
    SIGNED: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    hub = tl.program_id(0) * R + tl.arange(0, R)
    live = hub < num_hubs
    rows = tl.load(hubs + hub, mask=live, other=0).to(tl.int64)
    first = tl.program_id(1) * C
    columns = first + tl.arange(0, C)
    place = hub.to(tl.int64)[:, None] * num_columns + columns[None, :]
    sum_of_row = tl.load(sums + place, mask=live[:, None] & (columns < num_columns)[None, :], other=0)
    write(
        sum_of_row,
        rows,
        live,
        first,
        out,
        num_columns,
        multiplier,
        shift,
        row,
        row_shift,
        bias,
        zero_point,
        PER_COLUMN,
        BITS,
        SIGNED,
        R,
        C,
    )
