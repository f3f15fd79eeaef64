"""Integer networks on other devices than the CPU, as far as a machine without one can tell.

No test here needs a GPU, and none shows that one gives the same integers: that is for a machine that has one.
"""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from mixq_rl import kernels
from tests.mixq_rl.frozen import MODELS, arguments, frozen
from tests.mixq_rl.nn.networks import KINDS, make_graph

each_model = pytest.mark.parametrize("name", MODELS)
each_kind = pytest.mark.parametrize("kind", KINDS)


def elsewhere(value: Any) -> Any:
    """A value whose tensors are on a device that has shapes and dtypes only."""
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    if isinstance(value, tuple):
        return tuple(elsewhere(part) for part in value)
    if dataclasses.is_dataclass(value):
        copy = object.__new__(type(value))
        for name, part in vars(value).items():
            object.__setattr__(copy, name, elsewhere(part))
        return copy
    return value


@each_kind
@each_model
def test_no_tensor_is_made_on_another_device_than_the_graph_s(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = frozen(name, kind)
    given = arguments(model, make_graph(graphs=4 if kind == "graph" else None))
    # No condition can be looked at where there are no numbers.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with FakeTensorMode(shape_env=ShapeEnv()):
        logits = elsewhere(model)(**{key: elsewhere(tensor) for key, tensor in given.items()})
    assert logits.device.type == "meta"
    assert logits.shape[1] == 3


def test_that_would_be_seen() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError, match=r"two (different )?devices,? meta(,| and) cpu"):
        torch.zeros(3, device="meta") + torch.zeros(3)


@each_model
def test_a_model_moves(name: str) -> None:
    model = frozen(name, "node")
    moved = model.to("cpu")
    assert moved.device == torch.device("cpu")
    given = arguments(model, make_graph())
    assert torch.equal(moved(**given), model(**given))
    assert (moved.components, moved.allocation, moved.nbytes) == (model.components, model.allocation, model.nbytes)


@each_kind
@each_model
def test_triton_gives_the_same_integers_in_its_interpreter(name: str, kind: str) -> None:
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():  # kernels decide when they are imported
            patch.setenv("TRITON_INTERPRET", "1")
        import mixq_rl.kernels.triton_backend  # noqa: F401
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = frozen(name, kind)
    given = arguments(model, make_graph(graphs=4 if kind == "graph" else None))
    with kernels.using("triton"):
        logits = model.to(device)(**{key: tensor.to(device) for key, tensor in given.items()})
    assert torch.equal(logits.cpu(), model(**given))
