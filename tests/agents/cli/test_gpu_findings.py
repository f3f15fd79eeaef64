from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixq_rl import kernels
from mixq_rl.agents.cli.finding import Finding
from mixq_rl.agents.cli.gpu_findings import examine_gpu
from tests.pretended_device import pretended_gpu

CARD = SimpleNamespace(name="A card", total_memory=80 * 2**30, major=9, minor=0)


def found(
    patch: pytest.MonkeyPatch, triton: str | None = "3.6.0", properties: Any = lambda index: CARD
) -> list[Finding]:
    patch.setattr(torch.cuda, "get_device_properties", properties)
    with pretended_gpu():
        return list(examine_gpu(triton))


def test_a_card_is_named_and_what_is_compiled_for_it_compared_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    card, triton = found(monkeypatch)
    assert card.found.startswith("A card, 80.0 GiB, compute capability 9.0, CUDA ")
    assert triton.found.startswith("3.6.0, compiled an aggregation that gives the reference's integers: ")
    assert "ms, on the processor " in triton.found
    assert not card.remedy
    assert not triton.remedy


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
    _, triton = found(monkeypatch)
    assert triton.found == "it cannot be used: gcc: not found"
    assert "C compiler" in triton.remedy


def test_other_integers_than_the_reference_s_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate = kernels.aggregate
    monkeypatch.setattr(kernels, "aggregate", lambda *operands: aggregate(*operands) + operands[0].is_cuda)
    _, triton = found(monkeypatch)
    assert "other integers than the reference" in triton.found
    assert "--device cpu" in triton.remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_no_fault() -> None:
    (finding,) = examine_gpu(None)
    assert finding.found.startswith("none (")
    assert not finding.remedy
