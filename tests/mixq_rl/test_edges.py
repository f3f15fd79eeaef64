import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import edges
from mixq_rl.edges import SortedEdges, check_edge_index, gather, row_sums, scaled_entries, sort_edges, sort_nodes
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.native import extension
from mixq_rl.propagation import SELF_LOOPS
from mixq_rl.sparse import CSR

pytestmark = pytest.mark.skipif(extension() is None, reason="compares C++ with torch")

ORDERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "none": lambda edge_index, nodes: torch.arange(edge_index.shape[1]),
    "by target": lambda edge_index, nodes: torch.argsort(edge_index[1], stable=True),
    "by target and source": lambda edge_index, nodes: torch.argsort(edge_index[1] * nodes + edge_index[0], stable=True),
    "by source": lambda edge_index, nodes: torch.argsort(edge_index[0], stable=True),
    "by source and target": lambda edge_index, nodes: torch.argsort(edge_index[0] * nodes + edge_index[1], stable=True),
}
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "int64": lambda edge_index: edge_index,
    "int32": lambda edge_index: edge_index.int(),
    "transposed": lambda edge_index: edge_index.t().contiguous().t(),
    "part of a tensor": lambda edge_index: torch.cat([edge_index, edge_index], dim=1)[:, : edge_index.shape[1]],
    "with a step": lambda edge_index: edge_index.repeat_interleave(3, dim=1)[:, ::3],
}
WEIGHTS: dict[str, Callable[[int], Tensor | None]] = {
    "none": lambda count: None,
    "float32": lambda count: torch.rand(count),
    "float64": lambda count: torch.randn(count, dtype=torch.float64),
    "float16": lambda count: torch.rand(count).half(),
    "with a step": lambda count: torch.rand(2 * count)[::2],
}


@pytest.fixture
def _one_thread_of_torch() -> Iterator[None]:
    """With several threads torch leaves open which of a node's own self-loops gives its weight."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def check_equal(found: SortedEdges, expected: SortedEdges) -> None:
    assert found.csr.num_columns == expected.csr.num_columns
    for one, other in zip((*tensors(found.csr), *found[1:]), (*tensors(expected.csr), *expected[1:]), strict=True):
        if one is None or other is None:
            assert one is other
        else:
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


def tensors(csr: CSR) -> tuple[Tensor, Tensor]:
    return csr.rowptr, csr.col


def check_same_as_torch(edge_index: Tensor, nodes: int, weight: Tensor | None, threads: int) -> None:
    for self_loops in SELF_LOOPS:
        torch.set_num_threads(threads)
        found = sort_edges(edge_index, nodes, weight, self_loops, 0.25)
        torch.set_num_threads(1)
        expected = edges.sort_edges_by_torch(edge_index, nodes, weight, self_loops, 0.25)
        check_equal(found, expected)
        csr, factor = expected.csr, torch.randn(nodes, dtype=torch.float64)
        entries = torch.ones(csr.col.numel(), dtype=torch.float64) if expected.weight is None else expected.weight
        assert torch.equal(scaled_entries(found, factor), factor[csr.col.long()] * entries * factor[csr.row])
        if expected.weight is not None:
            sums = torch.zeros(nodes, dtype=torch.float64).index_add(0, csr.row, expected.weight)
            assert torch.equal(row_sums(found), sums)


@given(data=st.data())
@settings(deadline=None, max_examples=150)
@pytest.mark.usefixtures("_one_thread_of_torch")
def test_few_edges_are_sorted_as_torch_sorts_them(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 12))
    node = st.integers(0, nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    edge_index = edge_index[:, ORDERS[data.draw(st.sampled_from(list(ORDERS)))](edge_index, nodes)]
    weight = WEIGHTS[data.draw(st.sampled_from(list(WEIGHTS)))](len(pairs))
    form = FORMS[data.draw(st.sampled_from(list(FORMS)))]
    check_same_as_torch(form(edge_index), nodes, weight, data.draw(st.sampled_from([1, 2, 5])))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("nodes", "count"), [(3, 40_000), (70_000, 100_000), (150_000, 2049), (1000, 150_001)])
@pytest.mark.usefixtures("_one_thread_of_torch")
def test_many_edges_are_sorted_as_torch_sorts_them(nodes: int, count: int, order: str) -> None:
    """Enough for several blocks, buckets and threads."""
    torch.manual_seed(0)
    ends = (nodes * torch.rand(2, count) ** 2).long()
    edge_index = ends[:, ORDERS[order](ends, nodes)]
    for threads, form, weight in ((1, "int64", "none"), (3, "transposed", "float64"), (7, "int32", "float32")):
        check_same_as_torch(FORMS[form](edge_index), nodes, WEIGHTS[weight](count), threads)


@pytest.mark.parametrize("place", [1, 2047, 2048, 40_000, 69_999])
@pytest.mark.parametrize("order", ["by target and source", "by source"])
@pytest.mark.usefixtures("_one_thread_of_torch")
def test_one_edge_out_of_order_is_noticed(order: str, place: int) -> None:
    torch.manual_seed(0)
    nodes = 5000
    ends = torch.randint(nodes, (2, 70_000))
    edge_index = ends[:, ORDERS[order](ends, nodes)]
    edge_index[:, place] = 0
    check_same_as_torch(edge_index, nodes, None, 2)


def test_there_may_be_no_nodes() -> None:
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    for self_loops in SELF_LOOPS:
        check_equal(
            sort_edges(nothing, 0, None, self_loops, 1.0), edges.sort_edges_by_torch(nothing, 0, None, self_loops, 1.0)
        )
    check_edge_index(nothing, 0)


@given(
    batch=st.lists(st.integers(0, 9), max_size=30),
    more=st.integers(0, 3),
    ascending=st.booleans(),
    times=st.sampled_from([1, 3000]),
)
@settings(deadline=None)
def test_nodes_are_sorted_as_torch_sorts_them(batch: list[int], more: int, ascending: bool, times: int) -> None:
    graphs = max(batch, default=0) + 1 + more
    given_batch = torch.tensor(sorted(batch) if ascending else batch, dtype=torch.int64).repeat_interleave(times)
    found = sort_nodes(given_batch, graphs)
    assert found is not None
    expected = edges.sort_nodes_by_torch(given_batch, graphs)
    assert found.num_columns == expected.num_columns
    assert all(torch.equal(one, other) for one, other in zip(tensors(found), tensors(expected), strict=True))


def test_a_batch_that_names_no_graph_is_not_sorted() -> None:
    assert sort_nodes(torch.tensor([0, 3]), 3) is None
    assert sort_nodes(torch.tensor([1, -1]), 3) is None


@pytest.mark.parametrize("node", [-1, 10, 2**31, 2**32 + 1, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("place", [0, 1, 2047, 2048, 79_999])
@pytest.mark.parametrize("row", [0, 1])
def test_nodes_that_do_not_exist_are_found_everywhere(node: int, place: int, row: int) -> None:
    edge_index = torch.randint(10, (2, 80_000))
    check_edge_index(edge_index, 10)
    edge_index[row, place] = node
    with pytest.raises(InvalidGraphError, match=f"names node {node}, but the graph has nodes"):
        check_edge_index(edge_index, 10)
    with pytest.raises(InvalidGraphError, match=f"names node {node}, but the graph has nodes"):
        sort_edges(edge_index, 10, None, "add", 1.0)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_bytes_are_gathered(dtype: torch.dtype) -> None:
    table = torch.randint(-128, 128, (300,)).to(dtype)
    for count in (0, 1, 2049, 100_000):
        col = torch.randint(300, (count,), dtype=torch.int32)
        assert torch.equal(gather(table, col), table[col.long()])
        assert torch.equal(gather(table.double(), col), table.double()[col.long()])
    with pytest.raises(InvalidGraphError, match="written to during the call"):
        gather(table, torch.tensor([0, 300], dtype=torch.int32))


def test_gradients_reach_weights() -> None:
    weight = torch.rand(3, dtype=torch.float64, requires_grad=True)
    found = sort_edges(torch.tensor([[2, 1, 0], [0, 1, 2]]), 3, weight, "keep", 1.0)
    assert found.weight is not None
    (found.weight * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1, 2, 3]


def test_resized_storages_are_refused() -> None:
    edge_index = torch.zeros(2, 5, dtype=torch.int64)
    edge_index.untyped_storage().resize_(0)
    with pytest.raises(InputError, match="edge_index of shape"):
        check_edge_index(edge_index, 1)


def test_no_graph_that_changes_ends_the_process() -> None:
    program = [sys.executable, "-m", "tests.mixq_rl.changing_edges"]
    root = Path(__file__).parents[2]
    ended = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.returncode}: {ended.stderr}"
