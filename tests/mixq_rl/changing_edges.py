"""A program that sorts edges while another thread writes to them, and edges that end where readable memory ends.

Where the code in C++ follows what it is given, the process dies: ``test_edges.py`` looks whether it survives.
"""

import sys
import threading

import torch
from torch import Tensor

from mixq_rl.edges import check_edge_index, sort_edges
from mixq_rl.errors import InvalidGraphError
from mixq_rl.propagation import SELF_LOOPS
from tests.mixq_rl.kernels.guarded import KEPT, guarded

NODES, EDGES = 1000, 100_000


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    if sys.platform == "linux":
        check_guarded()
    ends = torch.randint(NODES, (2, EDGES))
    by_source = ends[:, torch.argsort(ends[0])]
    by_target = ends[:, torch.argsort(ends[1] * NODES + ends[0])]
    for edge_index in (ends, by_source, by_target):
        for value in (2**40, -1, 2**31 - 1, 5):
            check_writes(edge_index.clone(), value)


def check_guarded() -> None:
    for count in (1, 2, 3, 15, 16, 17, 2047, 2048, 2049, 70_001):
        for dtype in (torch.int32, torch.int64):
            for weight in (None, torch.rand(count, dtype=torch.float64)):
                edge_index = guarded(torch.randint(NODES, (2, count)).to(dtype))
                check_edge_index(edge_index, NODES)
                for self_loops in SELF_LOOPS:
                    sort_edges(edge_index, NODES, None if weight is None else guarded(weight), self_loops, 1.0)
        KEPT.clear()


def check_writes(edge_index: Tensor, value: int) -> None:
    ended = threading.Event()

    def write() -> None:
        array = edge_index.numpy()
        right = array.copy()
        while not ended.is_set():
            array[:, 1::2] = value
            array[:] = right

    writer = threading.Thread(target=write)
    writer.start()
    refused = 0
    for attempt in range(60):
        try:
            found = sort_edges(edge_index, NODES, None, SELF_LOOPS[attempt % 4], 1.0)
        except InvalidGraphError:
            refused += 1
        else:
            check_whole(found.csr.rowptr, found.csr.col, found.loops)
    ended.set()
    writer.join()
    print(f"{refused} of 60 calls met a wrong graph")


def check_whole(rowptr: Tensor, col: Tensor, loops: Tensor) -> None:
    """Check that whatever was read became a matrix."""
    assert int(rowptr[0]) == 0
    assert int(rowptr[-1]) == col.numel()
    assert bool((rowptr.diff() >= 0).all())
    assert bool(((col >= 0) & (col < NODES)).all())
    assert loops.numel() in (0, NODES)
    if loops.numel():
        assert torch.equal(col[loops].long(), torch.arange(NODES))


if __name__ == "__main__":
    main()
