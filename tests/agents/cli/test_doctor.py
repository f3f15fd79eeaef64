import json
from pathlib import Path

import pytest

from mixq_rl.agents.cli.doctor import examine
from tests.agents.cli.invoking import Invoke


def test_says_what_is_there_and_what_to_do_about_what_is_not(invoke: Invoke) -> None:
    ended = invoke("doctor")
    assert ended.code == 0
    for part in ("integer kernels", "torch", "gymnasium", "threads", "GPU", "→ mkdir data"):
        assert part in ended.stdout
    findings = json.loads(invoke("doctor", "--json").stdout)["findings"]
    assert [finding["subject"] for finding in findings if finding["remedy"]] == ["data"]


def test_names_the_data_it_finds(tmp_path: Path) -> None:
    for name in ("planetoid/Cora/raw/ind.cora.x", "twitch/EN/raw/edges.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "planetoid/CiteSeer/raw").mkdir(parents=True)
    (tmp_path / "raw").touch()
    (data,) = [finding for finding in examine(tmp_path) if finding.subject == "data"]
    assert data.found.startswith("Cora, EN in ")
    assert not data.remedy


def test_names_what_is_missing_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixq_rl.agents.cli.doctor.backends", lambda: ("reference",))
    monkeypatch.setattr("mixq_rl.machine.version", lambda name: _only("torch", name))
    found = {finding.subject: finding for finding in examine(tmp_path)}
    assert "C++17 compiler" in found["integer kernels"].remedy
    assert "pip install 'mixq-rl[rl]'" in found["reinforcement learning"].remedy
    assert "gymnasium" in found["reinforcement learning"].remedy


def _only(known: str, name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    if name != known:
        raise PackageNotFoundError(name)
    return "1.0"
