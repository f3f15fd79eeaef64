from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixq_rl import kernels
from mixq_rl.agents.cli.finding import Finding
from mixq_rl.agents.cli.gpu_findings import examine_gpu
from mixq_rl.kernels import cuda_backend
from tests.pretended_device import pretended_gpu

CARD = SimpleNamespace(name="A card", total_memory=80 * 2**30, major=9, minor=0)


def found(
    patch: pytest.MonkeyPatch, triton: str | None = "3.6.0", properties: Any = lambda index: CARD
) -> list[Finding]:
    patch.setattr(torch.cuda, "get_device_properties", properties)
    # What is pretended to be on a GPU is of the CPU to the backends.
    patch.setattr(kernels, "using", lambda name: nullcontext())
    with pretended_gpu():
        return list(examine_gpu(triton))


def test_a_card_is_named_and_what_is_compiled_for_it_compared_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    card, cuda, triton = found(monkeypatch)
    assert card.found.startswith("A card, 80.0 GiB, compute capability 9.0, CUDA ")
    assert cuda.found.startswith("compiled an aggregation that gives the reference's integers: ")
    assert triton.found.startswith("3.6.0, compiled an aggregation that gives the reference's integers: ")
    assert all("ms, on the processor " in kernel.found for kernel in (cuda, triton))
    assert not any(finding.remedy for finding in (card, cuda, triton))


def test_each_compiler_is_tried_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    aggregate = kernels.aggregate

    def seen(*operands: torch.Tensor, **options: Any) -> torch.Tensor:
        tried.append(f"{chosen[-1]} on a {'GPU' if operands[0].is_cuda else 'CPU'}")
        return aggregate(*operands, **options)

    @contextmanager
    def using(name: str) -> Iterator[None]:
        chosen.append(name)
        yield
        chosen.pop()

    chosen = ["the default"]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: CARD)
    monkeypatch.setattr(kernels, "using", using)
    monkeypatch.setattr(kernels, "aggregate", seen)
    with pretended_gpu():
        list(examine_gpu("3.6.0"))
    expected = {"reference on a CPU", "cuda on a GPU", "triton on a GPU", "the default on a CPU"}
    assert set(tried) == expected


def test_without_triton_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.remedy for finding in found(monkeypatch, triton=None)] == ["", "pip install triton"]


def test_a_card_that_cannot_be_used_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(index: int) -> Any:
        raise RuntimeError("CUDA driver version is insufficient\nand more")

    (card,) = found(monkeypatch, properties=fails)
    assert card.found == "it cannot be used: CUDA driver version is insufficient"
    assert "nvidia-smi" in card.remedy


def test_a_kernel_that_does_not_compile_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise OSError("gcc: not found")

    monkeypatch.setattr(kernels, "aggregate", fails)
    _, cuda, triton = found(monkeypatch)
    assert cuda.found == triton.found == "it cannot be used: gcc: not found"
    assert "report it" in cuda.remedy
    assert "C compiler" in triton.remedy


def test_cuda_kernels_that_triton_stands_in_for_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_backend, "why_unavailable", lambda: "NVRTC is not found")
    _, cuda, triton = found(monkeypatch)
    assert cuda.found.startswith("it cannot be used: NVRTC is not found")
    assert "CUDA build" in cuda.remedy
    assert not triton.remedy


def test_other_integers_than_the_reference_s_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate = kernels.aggregate

    def wrong(*operands: torch.Tensor, **options: Any) -> torch.Tensor:
        return aggregate(*operands, **options) + operands[0].is_cuda

    monkeypatch.setattr(kernels, "aggregate", wrong)
    _, *both = found(monkeypatch)
    assert len(both) == 2
    for finding in both:
        assert "other integers than the reference" in finding.found
        assert "--device cpu" in finding.remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_no_fault() -> None:
    (finding,) = examine_gpu(None)
    assert finding.found.startswith("none (")
    assert not finding.remedy
