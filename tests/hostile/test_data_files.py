"""Damaged and hostile files of each kind that data are read from end in a task or in one line, and execute nothing."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixq_rl
from mixq_rl.errors import DataNotFoundError, InvalidGraphError
from tests.hostile import raw_mutations
from tests.hostile.honest_files import KINDS
from tests.hostile.mutations import ATTACKS

_LONGEST_MESSAGE = 700
_LONGEST_SECONDS = 10


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name: str = request.param
    KINDS[name].write(tmp_path)
    return name


def attack(name: str, data: Any) -> None:
    kind = KINDS[name]
    damaged = Path(data.draw(st.sampled_from(kind.damaged)))
    strategy = raw_mutations.zipped if kind.zipped else raw_mutations.plain
    content = honest = damaged.read_bytes()
    for mutate in data.draw(st.lists(strategy, min_size=1, max_size=1 if kind.zipped else 3)):
        content = mutate(content)
    try:
        damaged.write_bytes(content)
        before = time.perf_counter()
        try:
            mixq_rl.load_task(kind.dataset, ".")
        except (InvalidGraphError, DataNotFoundError) as error:
            message = str(error)
            assert message.isprintable()
            assert len(message) < _LONGEST_MESSAGE
        assert time.perf_counter() - before < _LONGEST_SECONDS
        assert not Path(raw_mutations.CANARY).exists()
    finally:
        damaged.write_bytes(honest)


def test_honest_files_are_read(kind: str) -> None:
    assert mixq_rl.load_task(KINDS[kind].dataset, ".").num_nodes


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_ends_in_a_task_or_in_one_line(kind: str, data: Any) -> None:
    attack(kind, data)


@pytest.mark.slow
@settings(max_examples=max(300, ATTACKS), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_much_damage_ends_in_a_task_or_in_one_line(kind: str, data: Any) -> None:
    attack(kind, data)
