"""The CUDA C++ kernel against int64, bit for bit: on a GPU where there is one, otherwise emulated on the CPU."""

import sys
from types import SimpleNamespace

import pytest
import torch

from mixq_rl import kernels
from mixq_rl.errors import InputError
from mixq_rl.kernels import cuda_backend
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.cuda_backend.driver import CudaError, UnavailableError
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from tests.conftest import MakeOnce
from tests.mixq_rl.kernels.emulated import COMPILER, emulated_kernel
from tests.mixq_rl.kernels.problems import RANGES, Draw, check_requantized, dense_aggregate, integers, requantization
from tests.pairwise import alternating

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEVERAL = (3, 9, 0, 17, 40, 1, 4, 8, 5, 33, 2, 100)


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch, make_once: MakeOnce) -> None:
    if DEVICE == "cuda":
        return
    if COMPILER is None:
        pytest.skip("no GPU, and no g++ to emulate one")
    monkeypatch.setattr(launch, "kernel", lambda how, device: emulated_kernel(how, make_once))
    monkeypatch.setattr(launch, "multiprocessors", lambda device: 1)


def moved(value: torch.Tensor | None) -> torch.Tensor | None:
    return None if value is None else value.to(DEVICE)


def check(draw: Draw, degrees: tuple[int, ...], *, weighted: bool = True, narrow: int = 16, chunk: int = 32) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    degree, nodes = torch.tensor(degrees), 23
    rowptr = torch.zeros(len(degrees) + 1, dtype=torch.int32)
    rowptr[1:] = degree.cumsum(0)
    col = torch.randint(0, nodes, (int(rowptr[-1]),), generator=generator).to(torch.int32)
    weight = integers((col.numel(),), draw.weight_range, generator, draw.extreme) if weighted else None
    x = integers((nodes, draw.width), draw.range, generator, draw.extreme)
    alpha = torch.ones_like(col).long() if weight is None else weight.long()
    expected = dense_aggregate(rowptr, col, alpha, x.long() - draw.x_zero_point)
    how, row = requantization(draw, expected, generator)
    packed = PackedRows.pack(x, draw.range)
    matrix = Matrix.of(PackedRows(packed.data.to(DEVICE), packed.columns, packed.range), draw.x_zero_point)
    graph = CSRMatrix(rowptr.to(DEVICE), col.to(DEVICE), moved(weight), 0)
    chosen = launch.Specialization.of(graph, matrix)._replace(warps=2)
    sums = torch.full((len(degrees), draw.width), 7, dtype=torch.int32, device=DEVICE)
    launch.launch(chosen, graph, matrix, None, sums, narrow=narrow, chunk=chunk)
    assert torch.equal(sums.cpu().long(), expected)
    rescale = Rescale.of(how, row)
    rescale = rescale._replace(
        multiplier=rescale.multiplier.to(DEVICE), row=moved(rescale.row), bias=moved(rescale.bias)
    )
    offered = how.range
    fused = torch.full((len(degrees), offered.row_bytes(draw.width)), 77, dtype=torch.uint8).view(offered.storage_dtype)
    fused = fused.to(DEVICE)
    launch.launch(chosen, graph, matrix, rescale, fused, narrow=narrow, chunk=chunk)
    check_requantized(PackedRows(fused.cpu(), draw.width, offered), expected, how, row)


def draw(width: int, x: IntegerRange, weight: IntegerRange, result: IntegerRange, seed: int, **changes: object) -> Draw:
    drawn = Draw(0, width, 0, x, weight, result, 3, 0, False, True, True, seed)
    return drawn._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("offered", "width"), alternating(RANGES, (16, 7)))
def test_every_range(offered: IntegerRange, width: int) -> None:
    for seed in range(4):
        scales = {"row_scales": bool(seed & 1), "column_scales": bool(seed & 2)}
        check(draw(width, offered, offered, offered, seed, **scales), SEVERAL)


@pytest.mark.parametrize("result", RANGES, ids=lambda offered: f"{offered.bits}-{offered.signed}")
def test_every_result(result: IntegerRange) -> None:
    for width in (32, 20, 1):
        check(draw(width, RANGES[6], RANGES[14], result, width, column_scales=False), SEVERAL)
        check(draw(width, RANGES[6], RANGES[14], result, 1 + width), SEVERAL)


@pytest.mark.parametrize(("bits", "width"), alternating((1, 2, 4, 8), (40, 64, 100, 128, 200, 256, 511, 512, 1030)))
def test_every_width(bits: int, width: int) -> None:
    x, weight = IntegerRange(bits, bits % 3 != 0), IntegerRange(8, bits == 2)
    check(draw(width, x, weight, x, width + bits), SEVERAL)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_without_weights(bits: int) -> None:
    x = IntegerRange(bits, True)
    check(draw(48, x, x, x, 5), SEVERAL, weighted=False)


@pytest.mark.parametrize("degrees", [(), (0,), (1,), (0, 0, 0), (300,), (33, 33, 64, 65), (3,) * 70])
def test_rows_of_all_kinds(degrees: tuple[int, ...]) -> None:
    check(draw(24, RANGES[6], RANGES[14], RANGES[7], 1), degrees)


@pytest.mark.parametrize("offered", RANGES[12:], ids=lambda offered: f"{offered.bits}-{offered.signed}")
def test_extreme_values(offered: IntegerRange) -> None:
    check(draw(16, offered, offered, RANGES[14], 3, extreme=True), (600, 2, 40))


def test_a_shift_below_32_and_a_scale_beyond_31_bits() -> None:
    drawn = draw(16, RANGES[15], RANGES[14], RANGES[14], 2)
    generator = torch.Generator().manual_seed(0)
    rowptr = torch.tensor([0, 2, 40], dtype=torch.int32)
    col = torch.randint(0, 9, (40,), generator=generator).to(torch.int32)
    weight = integers((40,), drawn.weight_range, generator, False)
    x = integers((9, 16), drawn.range, generator, False)
    expected = dense_aggregate(rowptr, col, weight.long(), x.long())
    row = FixedPoint(torch.tensor([[2**31 - 1], [2**29]], dtype=torch.int32), 30)
    graph = CSRMatrix(rowptr.to(DEVICE), col.to(DEVICE), moved(weight), 0)
    matrix = Matrix.of(x.to(DEVICE))
    for shift, multiplier in ((1, 1), (17, 2**10), (31, 2**31 - 1), (40, 2**31 - 1)):
        how = Requantization(torch.tensor(multiplier), shift, 30, None, RANGES[14], 5)
        rescale = Rescale.of(how, row)
        rescale = rescale._replace(multiplier=rescale.multiplier.to(DEVICE), row=moved(rescale.row))
        out = torch.empty(2, 16, dtype=torch.uint8, device=DEVICE)
        launch.aggregate(graph, matrix, rescale, out)
        check_requantized(PackedRows(out.cpu(), 16, RANGES[14]), expected, how, row)


@pytest.mark.parametrize("offered", [RANGES[15], RANGES[14], RANGES[6], RANGES[3], RANGES[1]], ids=str)
@pytest.mark.parametrize("shift", [32, 33, 34, 40])
def test_halves_go_to_the_even_neighbour(shift: int, offered: IntegerRange) -> None:
    generator = torch.Generator().manual_seed(shift)
    rowptr = torch.tensor([0, 1, 2, 9, 9, 60], dtype=torch.int32)
    col = torch.randint(0, 9, (60,), generator=generator).to(torch.int32)
    x = torch.randint(-9, 9, (9, 24), generator=generator, dtype=torch.int8)
    x[0] = torch.tensor([0, 2, -2, 6, -6, 1, -1, 4]).repeat(3)
    col[0] = 0
    expected = dense_aggregate(rowptr, col, torch.ones(60, dtype=torch.int64), x.long())
    how = Requantization(torch.tensor(2**30), shift, 0, None, offered, 1)
    rescale = Rescale.of(how, None)
    rescale = rescale._replace(multiplier=rescale.multiplier.to(DEVICE))
    data = torch.empty(5, offered.row_bytes(24), dtype=offered.storage_dtype, device=DEVICE)
    launch.aggregate(CSRMatrix(rowptr.to(DEVICE), col.to(DEVICE), None, 0), Matrix.of(x.to(DEVICE)), rescale, data)
    check_requantized(PackedRows(data.cpu(), 24, offered), expected, how, None)


@pytest.mark.parametrize(("bits", "columns"), alternating((1, 2, 4, 8), (16, 47, 160)))
def test_rows_that_begin_at_any_byte(columns: int, bits: int) -> None:
    offered, rows = IntegerRange(bits, False), 30
    generator = torch.Generator().manual_seed(columns)
    rowptr = torch.tensor([0, 3, 3, 20, 120], dtype=torch.int32)
    col = torch.randint(0, rows, (120,), generator=generator).to(torch.int32)
    x = integers((rows, columns), offered, generator, False)
    expected = dense_aggregate(rowptr, col, torch.ones(120, dtype=torch.int64), x.long())
    packed = PackedRows.pack(x, offered)
    for skip in range(4):
        held = torch.zeros(skip + packed.data.numel(), dtype=torch.uint8, device=DEVICE)
        data = held[skip:].view(packed.data.shape)  # nothing lies behind the last row
        data.copy_(packed.data)
        sums = torch.empty(4, columns, dtype=torch.int32, device=DEVICE)
        matrix = Matrix.of(PackedRows(data, columns, offered))
        launch.aggregate(CSRMatrix(rowptr.to(DEVICE), col.to(DEVICE), None, 0), matrix, None, sums)
        assert torch.equal(sums.cpu().long(), expected)


def test_tensors_of_the_cpu_are_refused() -> None:
    x = torch.ones(2, 2, dtype=torch.int8)
    with kernels.using("cuda"), pytest.raises(InputError, match=r"'cuda' executes tensors of a GPU"):
        kernels.linear(x, x)


def test_without_a_compiler_triton_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing(*arguments: object) -> None:
        asked.append("compiled")
        raise UnavailableError("NVRTC is not found")

    triton_backend = SimpleNamespace(aggregate=lambda *arguments: asked.append("Triton"))
    monkeypatch.setattr(launch, "aggregate", missing)
    monkeypatch.setattr(cuda_backend, "_unavailable", [])
    monkeypatch.setitem(sys.modules, "mixq_rl.kernels.triton_backend", triton_backend)
    monkeypatch.setattr(kernels, "triton_backend", triton_backend, raising=False)
    graph = CSRMatrix(torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), None, 0)
    operands = graph, Matrix.of(torch.ones(2, 2, dtype=torch.int8)), None, torch.zeros(0, 2, dtype=torch.int32)
    with pytest.warns(RuntimeWarning, match="NVRTC is not found"):
        cuda_backend.aggregate(*operands)
    cuda_backend.aggregate(*operands)
    assert asked == ["compiled", "Triton", "Triton"]
    assert cuda_backend.why_unavailable() == "NVRTC is not found"


def test_a_failed_launch_is_no_reason_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise CudaError("cuLaunchKernel: an illegal memory access was encountered (700)")

    monkeypatch.setattr(launch, "aggregate", failing)
    graph = CSRMatrix(torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), None, 0)
    with pytest.raises(CudaError, match="illegal memory access"):
        cuda_backend.aggregate(graph, Matrix.of(torch.ones(2, 2, dtype=torch.int8)), None, torch.zeros(0, 2))
