"""Sums over neighbours in Triton: rows are gathered packed and unpacked in registers."""

# Constants of a kernel are capitals, as in Triton's own; mypy knows no types for its arguments.
# ruff: noqa: N803, N806
# mypy: disallow_untyped_defs=False, disallow_incomplete_defs=False
# mypy: disable-error-code="import-untyped,import-not-found"

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.indices import checked_copy
from mixq_rl.kernels.partition import Pieces, partition
from mixq_rl.kernels.triton_backend.hubs import finish
from mixq_rl.kernels.triton_backend.launch import on_device
from mixq_rl.kernels.triton_backend.result import UNSPECIALIZED, rescaling, write
from mixq_rl.kernels.triton_backend.tiling import Tiling

__all__ = ["aggregate"]


def aggregate(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    with on_device(out):
        col = checked_copy(adjacency.rowptr, adjacency.col, x.data.shape[0])
        adjacency = adjacency._replace(col=col)
        if not out.numel():
            return
        parts = partition(adjacency.rowptr, adjacency.col.shape[0])
        tiling = Tiling.of(adjacency, x)
        data = out if rescale is None else out.view(torch.uint8)
        if parts.hubs.numel():
            sums = torch.zeros(parts.hubs.shape[0], x.columns, dtype=torch.int32, device=out.device)
            _sum(parts.chunks, adjacency, x, tiling, None, sums, wide=True, shared=True)
            finish(sums, parts.hubs, rescale, data)
        _sum(parts.wide, adjacency, x, tiling, rescale, data, wide=True)
        _sum(parts.narrow, adjacency, x, tiling, rescale, data, wide=False)


def _sum(
    pieces: Pieces,
    adjacency: CSRMatrix,
    x: Matrix,
    tiling: Tiling,
    rescale: Rescale | None,
    out: Tensor,
    *,
    wide: bool,
    shared: bool = False,
) -> None:
    if not pieces.number:
        return
    flip = x.data.dtype == torch.int8
    programs = pieces.number if wide else -(-pieces.number // tiling.slots)
    arguments: dict[str, Any] = {
        "num_pieces": pieces.number,
        "row_vectors": tiling.row_words // tiling.vector,
        "step": x.step,
        "offset": x.offset - 128 if flip else x.offset,
        "weight_zero_point": adjacency.weight_zero_point,
        "VECTOR": tiling.vector,
        "WORD_BITS": tiling.words.element_size() * 8,
        "X_BITS": x.bits,
        "FLIP": flip,
        "LANE": tiling.lane,
        "LEVELS": tiling.levels,
        "SPAN": tiling.span,
        "SLOTS": tiling.slots,
        "UNROLL": tiling.unroll,
        "WORDS": tiling.block,
        "WIDE": wide,
        "SHARED": shared,
    }
    grid = (programs, -(-tiling.row_words // tiling.block))
    _sum_pieces[grid](
        *pieces,
        adjacency.col,
        adjacency.weight,
        tiling.words,
        out,
        num_columns=x.columns,
        **arguments,
        **rescaling(rescale),
    )


@triton.jit(do_not_specialize=(*UNSPECIALIZED, "weight_zero_point", "num_pieces", "row_vectors"))
def _sum_pieces(
    target,
    start,
    stop,
    col,
    weight,
    x,
    out,
    num_columns,
    num_pieces,
    row_vectors,
    step,
    offset,
    weight_zero_point,
    multiplier,
    shift,
    row,
    row_shift,
    bias,
    zero_point,
    PER_COLUMN: tl.constexpr,
    BITS: tl.constexpr,
    SIGNED: tl.constexpr,
    VECTOR: tl.constexpr,
    WORD_BITS: tl.constexpr,
    X_BITS: tl.constexpr,
    FLIP: tl.constexpr,
    LANE: tl.constexpr,
    LEVELS: tl.constexpr,
    SPAN: tl.constexpr,
    SLOTS: tl.constexpr,
    UNROLL: tl.constexpr,
    WORDS: tl.constexpr,
    WIDE: tl.constexpr,
    SHARED: tl.constexpr,
):
    """Sum pieces of rows: a piece to a program, whose slots share its edges (WIDE), or a piece to each slot.

    A word holds WORD_BITS // X_BITS columns: bits are shifted and masked so that a column remains in every LANE bits
    of a register, and one multiplication serves all of them. FIELDS shifts reach all columns.
    """
    FIELDS: tl.constexpr = 2**LEVELS
    ROWS: tl.constexpr = 1 if WIDE else SLOTS
    STRIDE: tl.constexpr = SLOTS if WIDE else 1
    COLUMNS: tl.constexpr = WORDS * (WORD_BITS // X_BITS)
    MASK: tl.constexpr = (2**X_BITS - 1) * (65537 if LANE == 16 else 1)
    # Signed bytes are made unsigned by their top bit. (0x80808080 would turn the word into an unsigned one.)
    SIGN_BITS: tl.constexpr = -0x7F7F7F80 if WORD_BITS == 32 else 0x8080 if WORD_BITS == 16 else 0x80

    slot = tl.arange(0, SLOTS)
    if WIDE:
        pieces = tl.program_id(0) + tl.arange(0, 1)
        piece = tl.program_id(0) + 0 * slot
        lead = slot
    else:
        pieces = tl.program_id(0) * SLOTS + slot
        piece = pieces
        lead = 0 * slot
    live = pieces < num_pieces
    first = tl.load(start + piece, mask=piece < num_pieces, other=0)
    length = tl.load(stop + piece, mask=piece < num_pieces, other=0) - first
    # The first piece of a program is its longest piece.
    leader = tl.program_id(0) * ROWS
    longest = tl.load(stop + leader) - tl.load(start + leader)

    lead = lead[:, None] + (tl.arange(0, UNROLL) * STRIDE)[None, :]
    words = tl.program_id(1) * WORDS + tl.arange(0, WORDS)
    row_words = row_vectors * VECTOR
    inside = (words < row_words)[None, None, :]
    shifts = (tl.arange(0, FIELDS) * X_BITS)[None, None, None, :]
    total = tl.full((SLOTS,), 0, tl.int32)
    low = tl.full((SLOTS, WORDS, FIELDS), 0, tl.int32)
    high = tl.full((SLOTS, WORDS, FIELDS), 0, tl.int32)
    for begin in range(0, longest, SPAN * STRIDE):
        sums = tl.full((SLOTS, WORDS, FIELDS), 0, tl.int32)
        for at in range(begin, tl.minimum(longest, begin + SPAN * STRIDE), UNROLL * STRIDE):
            place = at + lead
            present = place < length[:, None]
            neighbour = tl.load(col + (first[:, None] + place), mask=present, other=0)
            # int64: nodes times columns may pass 2^31.
            source = x + neighbour.to(tl.int64)[:, :, None] * row_words + words[None, None, :]
            word = tl.load(source, mask=present[:, :, None] & inside, other=0).to(tl.int32)
            if FLIP:
                word ^= tl.where(present[:, :, None], SIGN_BITS, 0)
            # Joined, not broadcast: a broadcast would have registers exchanged between threads for each edge.
            for _ in tl.static_range(LEVELS):
                word = tl.join(word, word)
            field = (tl.reshape(word, (SLOTS, UNROLL, WORDS, FIELDS)) >> shifts) & MASK
            if weight is None:
                factor = present.to(tl.int32)
            else:
                factor = tl.load(weight + (first[:, None] + place), mask=present, other=0).to(tl.int32)
                factor = tl.where(present, factor - weight_zero_point, 0)
                field *= factor[:, :, None, None]
            sums += tl.reduce(field, 1, tl.standard._sum_combine)
            total += tl.reduce(factor, 1, tl.standard._sum_combine)
        if LANE == 16:
            lower = (sums << 16) >> 16
            low += lower
            high += (sums - lower) >> 16
        else:
            low += sums

    if LANE == 16:
        lanes = tl.arange(0, 2)[None, None, :, None]
        low = tl.where(lanes == 0, low[:, :, None, :], high[:, :, None, :])
    low = tl.reshape(low, (SLOTS, COLUMNS))
    if WIDE:
        low = tl.reduce(low, 0, tl.standard._sum_combine)[None, :]
        total = tl.reduce(total, 0, tl.standard._sum_combine) + tl.full((1,), 0, tl.int32)
    result = step * low + (offset * total)[:, None]

    rows = tl.load(target + pieces, mask=live, other=0).to(tl.int64)
    first_column = tl.program_id(1) * COLUMNS
    if SHARED:
        columns = first_column + tl.arange(0, COLUMNS)
        place = rows[:, None] * num_columns + columns[None, :]
        tl.atomic_add(out + place, result, mask=live[:, None] & (columns < num_columns)[None, :], sem="relaxed")
    else:
        write(
            result,
            rows,
            live,
            first_column,
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
            ROWS,
            COLUMNS,
        )
