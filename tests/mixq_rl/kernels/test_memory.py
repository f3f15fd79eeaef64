import gc

import torch

from mixq_rl.kernels.memory import Memory


def test_remembers_until_the_tensor_is_written_to() -> None:
    memory: Memory[int] = Memory()
    tensor, asked = torch.zeros(3), []

    def compute() -> int:
        asked.append(float(tensor.sum()))
        return len(asked)

    assert [memory.recall(tensor, "a", compute) for _ in range(3)] == [1, 1, 1]
    assert memory.recall(tensor, "b", compute) == 2
    tensor += 1
    assert memory.recall(tensor, "a", compute) == 3
    tensor.data = torch.ones(4)
    assert memory.recall(tensor, "a", compute) == 4


def test_tensors_of_equal_entries_are_told_apart() -> None:
    memory: Memory[str] = Memory()
    first, second = torch.zeros(3), torch.zeros(3)
    assert memory.recall(first, None, lambda: "first") == "first"
    assert memory.recall(second, None, lambda: "second") == "second"


def test_forgets_with_the_tensor() -> None:
    memory: Memory[int] = Memory()
    tensor = torch.zeros(3)
    memory.recall(tensor, None, lambda: 1)
    del tensor
    gc.collect()
    assert not memory._known


def test_inference_tensors_are_asked_about_each_time() -> None:
    memory: Memory[int] = Memory()
    answers = iter([1, 2])
    with torch.inference_mode():
        tensor = torch.zeros(3)
        assert [memory.recall(tensor, None, lambda: next(answers)) for _ in range(2)] == [1, 2]
