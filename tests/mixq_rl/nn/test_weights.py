"""Weights of a user's model from a file."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from mixq_rl.errors import InputError
from mixq_rl.nn.weights import load_weights, read_weights, weights_digest


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(3, 4)
        self.norm = nn.BatchNorm1d(4)


class Code:
    """An object whose pickle creates a file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    return Net().state_dict()


def save(name: str, value: object) -> Path:
    torch.save(value, name)
    return Path(name)


@pytest.mark.parametrize("name", ["a.pt", "a.PTH", "a.ckpt", "a.bin", "a.safetensors", "link.pt"])
@pytest.mark.parametrize("outer", ["", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_state_dicts_in_all_their_forms(state: dict[str, Tensor], name: str, outer: str, wrapper: str) -> None:
    wrapped = {f"{wrapper}{key}": tensor for key, tensor in state.items()}
    if name.endswith(".safetensors"):
        save_file(wrapped, name)
    else:
        held = {outer: wrapped, "epoch": 3, "optimizer": {"lr": 0.1}, "args": Code()} if outer else wrapped
        save("a.pt" if name == "link.pt" else name, held)
        if name == "link.pt":
            Path(name).symlink_to("a.pt")
    model = Net()
    load_weights(model, Path(name))
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert not Path("executed").exists()


def test_the_dictionary_of_a_module_is_read(state: dict[str, Tensor]) -> None:
    """It is an ordered dictionary with attributes of its own."""
    model = Net()
    for value in (model.state_dict(), {"state_dict": model.state_dict()}, nn.DataParallel(model).state_dict()):
        assert read_weights(save("a.pt", value)).keys() == state.keys()
    torch.save(model.state_dict(), "old.pt", _use_new_zipfile_serialization=False)
    assert read_weights(Path("old.pt")).keys() == state.keys()


def changed(state: dict[str, Tensor], name: str, tensor: Tensor | None, new: str | None = None) -> dict[str, Tensor]:
    other = {key: value for key, value in state.items() if key != name}
    return other if tensor is None else {**other, new or name: tensor}


def test_weights_of_another_model_are_refused(state: dict[str, Tensor]) -> None:
    bias = state["conv.bias"]
    cases = {
        "conv.bias missing$": changed(state, "conv.bias", None),
        "conv.bias \\(there is conv.bais\\) missing; the model has no conv.bais$": changed(
            state, "conv.bias", bias, "conv.bais"
        ),
        "the model has no x$": {**state, "x": bias},
        "conv.bias has shape \\[1\\], in the model \\[4\\]": changed(state, "conv.bias", bias[:1].clone()),
        "conv.bias holds NaN or infinity": changed(state, "conv.bias", bias * float("nan")),
        "conv.bias holds NaN": changed(state, "conv.bias", torch.tensor([1.0, 2, 3, float("inf")])),
        "conv.bias, .*norm.running_var, norm.num_batches_tracked missing$": {},
    }
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for message, weights in cases.items():
        with pytest.raises(InputError, match=f"^weights 'a.pt'.*{message}") as raised:
            load_weights(model, save("a.pt", weights))
        assert len(str(raised.value).splitlines()) == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.usefixtures("state")
def test_code_in_a_file_of_weights_is_not_executed() -> None:
    objects = (Code(), {"conv.bias": Code()}, {"state_dict": Code()}, [Code()], Net(), torch.ones(2), "text", None)
    for value in objects:
        with pytest.raises(InputError, match=r"^weights 'a\.pt' cannot be read: .* holds .* in place of a state dict"):
            read_weights(save("a.pt", value))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        Path("b.pt").write_bytes(pickle.dumps(Code(), protocol))
        with pytest.raises(InputError, match="cannot be read"):
            read_weights(Path("b.pt"))
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04", b"\xff" * 100])
@pytest.mark.usefixtures("state")
def test_damaged_files_are_refused(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(InputError, match=f"^weights '{name}' ") as raised:
        read_weights(Path(name))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.usefixtures("state")
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    Path("folder.pt").mkdir()
    os.mkfifo("pipe.pt")
    Path("link.pt").symlink_to("nowhere")
    for name, message in {
        "none.pt": "does not exist",
        "link.pt": "does not exist",
        "folder.pt": "is a folder, not a file",
        "pipe.pt": "is a named pipe, not a file",
        "weights.txt": "a file of weights ends in .safetensors",
    }.items():
        with pytest.raises(InputError, match=message):
            read_weights(Path(name))


def test_huge_weights_are_refused(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    small = save("a.pt", {"x": torch.zeros(1).expand(2**40)})  # a terabyte of one number
    with pytest.raises(InputError, match="MIXQ_RL_MAX_DATA_BYTES raises this limit"):
        read_weights(small)
    monkeypatch.setenv("MIXQ_RL_MAX_ARTIFACT_BYTES", "100")
    for read in (read_weights, weights_digest):
        with pytest.raises(InputError, match="MIXQ_RL_MAX_ARTIFACT_BYTES raises this limit"):
            read(save("b.pt", state))
