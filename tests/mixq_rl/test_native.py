import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mixq_rl.native import address, extension, readable


def test_the_extension_is_there() -> None:
    assert extension() is not None


def test_plain_tensors_of_the_cpu_are_readable() -> None:
    weight = torch.ones(3, requires_grad=True)
    assert readable(torch.zeros(2, 3).t(), None, torch.nn.Parameter(torch.zeros(2), requires_grad=False))
    assert not readable(torch.zeros(2), torch.zeros(2, device="meta"))
    assert not readable(torch.zeros(2).to_sparse())
    assert not readable(weight)
    with torch.no_grad():
        assert readable(weight)
    with FakeTensorMode():
        assert not readable(torch.zeros(2))


def test_addresses_are_those_of_the_first_entry() -> None:
    tensor = torch.zeros(4)
    assert address(tensor[1:]) == tensor.data_ptr() + 4
    assert address(None) == 0
