import pytest

from mixq_rl.errors import InputError
from mixq_rl.storage.limits import Limit

LIMIT = Limit("MIXQ_RL_MAX_TOYS", 10, "toys")


def test_a_limit_is_the_default_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT.excess(10) is None
    assert LIMIT.excess(1000) == "1,000 toys where at most 10 are read: MIXQ_RL_MAX_TOYS raises this limit"
    monkeypatch.setenv(LIMIT.variable, "1000")
    assert LIMIT.excess(1000) is None


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "1e6"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(LIMIT.variable, text)
    with pytest.raises(InputError, match=f"MIXQ_RL_MAX_TOYS is '{text}': it must be a whole number"):
        LIMIT.excess(1)
