import pytest

from mixq_rl.datasets.memory_limit import ExcessError, check_memory, memory_limit


def test_files_may_have_twice_their_size_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "100")
    assert [memory_limit(10), memory_limit(60), memory_limit(60, expected=500)] == [100, 120, 500]
    check_memory(100, "arrays", 10)
    check_memory(120, "arrays", 60)
    check_memory(500, "arrays", 60, expected=500)
    with pytest.raises(ExcessError, match="arrays of 121 bytes where at most 100 are read: MIXQ_RL_MAX_DATA_BYTES"):
        check_memory(121, "arrays", 60)
