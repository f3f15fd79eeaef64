"""Tiling: how a program of the aggregation reads rows."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix
from mixq_rl.kernels.partition import CHUNK
from mixq_rl.kernels.triton_backend.launch import at_most, unit_bytes

__all__ = ["COLUMNS_OF_PROGRAM", "Tiling"]

COLUMNS_OF_PROGRAM = 256
_THREADS = 128
_WORD_TYPES = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


class Tiling(NamedTuple):
    """Tiling of the rows of x, by which programs read them.

    Attributes:
        words: rows of x in words.
        row_words: number of words of a row.
        block: number of words of a row that a program reads.
        slots: number of edges that the threads of a program read at a time.
        unroll: number of concurrent reads of a thread.
        vector: number of words that rows are aligned to.
        lane: bits of a register for the first sum of a column: 16 or 32.
        levels: number of times that fields are halved until each holds one column: a lane has 2^levels fields.
        span: number of edges after which sums of 16 bits are moved to 32 bits, before they can overflow.
    """

    words: Tensor
    row_words: int
    block: int
    slots: int
    unroll: int
    vector: int
    lane: int
    levels: int
    span: int

    @classmethod
    def of(cls, adjacency: CSRMatrix, x: Matrix) -> Self:
        unit = unit_bytes(x.data, 4)
        words = x.data.view(_WORD_TYPES[unit])
        row_words = words.shape[1]
        lane, span = _lanes(_largest_weight(adjacency) * (2**x.bits - 1), unit)
        per_word = unit * 8 // x.bits
        block = max(at_most(row_words, COLUMNS_OF_PROGRAM // per_word), 8 // per_word, 1)
        fields = min(lane, unit * 8) // x.bits
        words_of_thread = max(1, min(16 // fields, 16 // unit))
        slots = _THREADS * words_of_thread // block
        levels = fields.bit_length() - 1
        unroll = min(span, max(2, min(8, 16 // words_of_thread)))
        vector = min(unit_bytes(x.data, 16) // unit, words_of_thread)
        return cls(words, row_words, block, slots, unroll, vector, lane, levels, span)


def _largest_weight(adjacency: CSRMatrix) -> int:
    if adjacency.weight is None:
        return 1
    ends = (-128, 127) if adjacency.weight.dtype == torch.int8 else (0, 255)
    return max(abs(end - adjacency.weight_zero_point) for end in ends)


def _lanes(largest: int, unit: int) -> tuple[int, int]:
    """Return lane and span: two sums share a register if several products of this size fit 16 signed bits."""
    if unit == 4:
        for span in (64, 16, 8, 4):
            if span * largest < 2**15:
                return 16, span
    return 32, CHUNK
