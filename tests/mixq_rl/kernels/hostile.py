"""A program that gives the kernels of a backend graphs that change unnoticed, and results that overlap operands.

Where a kernel follows what it is given, the process dies: ``test_hostile.py`` looks whether it survives. Its argument
is the name of the backend.
"""

import sys
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.quantization import IntegerRange, PackedRows, Requantization

FAR = 2**31 - 1
HOW = Requantization(torch.tensor(2**30), 31, 0, None, IntegerRange(4, True), 0)
ROWS, DEGREE = 100, 80


def main() -> None:
    torch.set_num_threads(2)
    with kernels.using(sys.argv[1]):
        for place in ("col", "rowptr"):
            for write in (through_data, through_storage, through_numpy):
                check_change(place, write, 40, 4)
            for width, bits in ((1, 8), (300, 2), (1100, 1), (1100, 8)):
                check_change(place, through_numpy, width, bits)
        check_overlap()
        check_storage()
        check_concurrent_writes()


def graph() -> tuple[Tensor, Tensor]:
    rowptr = torch.arange(0, ROWS * DEGREE + 1, DEGREE, dtype=torch.int32)
    return rowptr, (torch.arange(ROWS * DEGREE) % ROWS).to(torch.int32)


def features(width: int, bits: int) -> PackedRows:
    offered = IntegerRange(bits, False)
    return PackedRows(torch.full((ROWS, offered.row_bytes(width)), 1, dtype=torch.uint8), width, offered)


def through_data(tensor: Tensor, place: int, value: int) -> None:
    tensor.data[place] = value


def through_storage(tensor: Tensor, place: int, value: int) -> None:
    torch.tensor([], dtype=tensor.dtype).set_(tensor.untyped_storage(), 0, (tensor.numel(),))[place] = value


def through_numpy(tensor: Tensor, place: int, value: int) -> None:
    tensor.numpy()[place] = value


def check_change(place: str, write: Callable[[Tensor, int, int], None], width: int, bits: int) -> None:
    rowptr, col = graph()
    x = features(width, bits)
    changed = col if place == "col" else rowptr
    before = kernels.aggregate(rowptr, col, None, x)
    version = changed._version
    for position in (0, 1, changed.numel() // 2, changed.numel() - 1):
        kept = int(changed[position])
        for value in (FAR, -1, -FAR, ROWS + kept if place == "col" else FAR // 2):
            write(changed, position, value)
            expect(InvalidGraphError, lambda: kernels.aggregate(rowptr, col, None, x))
            expect(InvalidGraphError, lambda: kernels.aggregate_requantize(rowptr, col, None, x, HOW))
        write(changed, position, kept)
    assert torch.equal(kernels.aggregate(rowptr, col, None, x), before)
    assert changed._version == version, "torch noticed"


def check_overlap() -> None:
    memory = torch.zeros(60_000, dtype=torch.int32)
    rowptr, col = graph()
    rowptr, col = memory[: ROWS + 1].copy_(rowptr), memory[200 : 200 + col.numel()].copy_(col)
    weight = memory[30_000:].view(torch.int8)[: col.numel()]
    x = memory[40_000:].view(torch.int8)[: ROWS * 7].view(ROWS, 7)
    for name, start in (("rowptr", 0), ("rowptr", ROWS), ("col", 199 + col.numel()), ("weight", 29_999), ("x", 40_000)):
        out = memory[start : start + ROWS * 7].view(ROWS, 7)
        expect(InputError, lambda out=out: kernels.aggregate(rowptr, col, weight, x, out=out), f"out overlaps {name}")
    left, right = x[:, :5], memory[50_000:].view(torch.int8)[:10].view(5, 2)
    for name, start in (("x", 40_000), ("weight", 50_002)):
        out = memory[start : start + ROWS * 2].view(ROWS, 2)
        expect(InputError, lambda out=out: kernels.linear(left, right, out=out), f"out overlaps {name}")
    expect(InputError, lambda: kernels.linear(left, right, out=memory[:2].expand(ROWS, 2)), "contiguous")
    expect(InputError, lambda: kernels.linear(left, right, out=memory.as_strided((ROWS, 2), (1, 1))), "contiguous")


def check_storage() -> None:
    for name in ("rowptr", "col", "weight", "x", "out"):
        rowptr, col = graph()
        tensors = {
            "rowptr": rowptr,
            "col": col,
            "weight": torch.ones(col.numel(), dtype=torch.int8),
            "x": torch.ones(ROWS, 7, dtype=torch.int8),
            "out": torch.empty(ROWS, 7, dtype=torch.int32),
        }
        tensors[name].untyped_storage().resize_(0)
        expect(InputError, lambda tensors=tensors: kernels.aggregate(**tensors), f"{name} of shape")


def check_concurrent_writes() -> None:
    """Write wrong indices while kernels run."""
    rowptr, col = graph()
    x, ended = torch.ones(ROWS, 64, dtype=torch.int8), threading.Event()

    def write() -> None:
        rowptrs, cols = rowptr.numpy(), col.numpy()
        right = rowptrs.copy(), cols.copy()
        while not ended.is_set():
            cols[:], rowptrs[1:-1] = FAR, -FAR
            rowptrs[:], cols[:] = right

    writer = threading.Thread(target=write)
    writer.start()
    refused = 0
    for _ in range(300):
        try:
            assert kernels.aggregate(rowptr, col, None, x).unique().tolist() == [DEGREE]
        except InvalidGraphError:
            refused += 1
    ended.set()
    writer.join()
    print(f"{refused} of 300 calls met a wrong graph")


def expect(error: type[Exception], call: Callable[[], object], message: str = "") -> None:
    with pytest.raises(error, match=message):
        call()


if __name__ == "__main__":
    main()
