import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.errors import InputError
from mixq_rl.extents import check_apart, check_held

ENTRIES = 40


@given(data=st.data())
def test_tensors_overlap_if_their_spans_share_a_byte(data: st.DataObject) -> None:
    memory = torch.zeros(ENTRIES, dtype=torch.int32)

    def view() -> tuple[torch.Tensor, set[int]]:
        size, stride = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 4))
        start = data.draw(st.integers(0, ENTRIES - 20))
        last = start + max(size - 1, 0) * stride
        return memory.as_strided((size,), (stride,), start), set(range(start, last + 1)) if size else set()

    (out, written), (operand, read) = view(), view()
    if written & read:
        with pytest.raises(InputError, match="out overlaps x: give the result memory of its own"):
            check_apart(out, [("weight", None), ("x", operand)])
    else:
        check_apart(out, [("weight", None), ("x", operand)])


def test_tensors_of_one_array_overlap_though_their_storages_differ() -> None:
    array = torch.zeros(8, dtype=torch.int32).numpy()
    out, x = torch.from_numpy(array), torch.from_numpy(array[7:]).view(torch.int8)
    assert out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    with pytest.raises(InputError, match="out overlaps x"):
        check_apart(out, [("x", x)])
    check_apart(out[:7], [("x", x)])


def test_storages_that_were_cut_short_are_refused() -> None:
    tensor = torch.zeros(4, 6, dtype=torch.int32)
    views = [tensor, tensor.t(), tensor[3:], tensor[3, 5:], tensor.expand(2, 4, 6)]
    check_held((str(place), view) for place, view in enumerate(views))
    tensor.untyped_storage().resize_(4 * 24 - 1)
    for view in views:
        with pytest.raises(InputError, match=r"x of shape .* needs 96 bytes of storage, but there are 95"):
            check_held([("none", None), ("x", view)])
    check_held([("x", tensor[:3]), ("x", tensor[:, :5]), ("x", tensor[4:])])
    first, nothing = tensor[0, :1], tensor[:0]
    tensor.untyped_storage().resize_(0)
    check_held([("x", nothing)])
    with pytest.raises(InputError, match="there are 0"):
        check_held([("x", first)])
