import os

import pytest
import torch

from mixq_rl import devices
from mixq_rl.devices import deterministic, full_name, resolve_device
from mixq_rl.errors import InputError
from tests.pretended_device import ELSEWHERE, pretended_gpu

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def is_on() -> bool:
    return torch.are_deterministic_algorithms_enabled()


@without_gpu
def test_auto_is_what_there_is() -> None:
    assert resolve_device("auto") == torch.device("cpu")
    assert full_name("auto") == "cpu"
    with pretended_gpu():
        assert resolve_device("auto") == ELSEWHERE
        assert full_name("auto") == "cuda:0"


def test_names() -> None:
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert [full_name(name) for name in ("cpu", "cuda", "cuda:3")] == ["cpu", "cuda:0", "cuda:3"]
    with pretended_gpu():
        assert resolve_device("cuda") == resolve_device("cuda:0") == ELSEWHERE


@without_gpu
def test_a_gpu_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"device 'cuda:0' cannot be used here: (this torch|torch sees)") as caught:
        resolve_device("cuda:0")
    assert "\n" not in str(caught.value)
    with pretended_gpu(), pytest.raises(InputError, match=r"'cuda:7' cannot be used here: torch sees 1 GPU"):
        resolve_device("cuda:7")


@pytest.mark.parametrize(
    ("name", "reason"), [("warp", "it is not among auto, cpu"), ("meta", "executed on cpu and cuda")]
)
def test_other_names_are_refused(name: str, reason: str) -> None:
    for refused in (resolve_device, full_name):
        with pytest.raises(InputError, match=f"device '{name}' cannot be used here: .*{reason}"):
            refused(name)


def test_sums_on_a_gpu_are_deterministic_inside_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with deterministic(ELSEWHERE):
        assert is_on()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        with deterministic(ELSEWHERE):
            assert is_on()
        assert is_on()
    assert not is_on()
    with pytest.raises(ZeroDivisionError), deterministic(ELSEWHERE):
        raise ZeroDivisionError
    assert not is_on()


def test_what_the_caller_has_set_stays() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with deterministic(ELSEWHERE):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert is_on()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_cpu_needs_nothing_and_the_cost_can_be_measured() -> None:
    with deterministic(torch.device("cpu")):
        assert not is_on()
    with devices._nondeterministic(), deterministic(ELSEWHERE):
        assert not is_on()


def test_a_workspace_that_lets_cublas_choose_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with pytest.raises(InputError, match="CUBLAS_WORKSPACE_CONFIG is ':0:0'"), deterministic(ELSEWHERE):
        pass
