from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents.records.data_root import confirmed, root_option
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.errors import InputError

CORA = RunConfig(dataset="Cora")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXQ_RL_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize("root", ["run/data", "elsewhere", "/", "../data"])
def test_a_folder_that_only_a_file_names_is_asked_for(root: str) -> None:
    config = replace(CORA, data_root=root)
    with pytest.raises(InputError, match=f"'run' names the data folder '{root}', .* add --data-root {root}; or"):
        confirmed(config, Path("run"), None)
    assert confirmed(config, Path("run"), root) == config
    assert confirmed(config, Path("run"), "mine").data_root == "mine"


def test_the_default_folder_and_that_of_the_environment_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert confirmed(CORA, Path("run"), None) == CORA
    absolute = replace(CORA, data_root=str(Path("data").resolve()))
    assert confirmed(absolute, Path("run"), None) == absolute
    graphs = replace(CORA, data_root="graphs")
    monkeypatch.setenv("MIXQ_RL_DATA", str(Path("graphs").resolve()))
    assert confirmed(graphs, Path("run"), None) == graphs
    assert root_option(graphs) == ""


def test_the_default_folder_inside_the_run_folder_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("run").mkdir()
    monkeypatch.chdir("run")
    for source in (Path(), Path.cwd(), Path("../run")):
        with pytest.raises(InputError, match="names the data folder 'data'"):
            confirmed(CORA, source, None)


@pytest.mark.parametrize("dataset", ["citation", "csl", "graph.npz", "folder/graph.PT"])
def test_datasets_without_a_folder_ask_for_nothing(dataset: str) -> None:
    config = RunConfig(dataset=dataset, data_root="elsewhere")
    assert confirmed(config, Path("run"), None) == config
    assert root_option(config) == ""


def test_commands_name_a_folder_of_ones_own() -> None:
    assert root_option(replace(CORA, data_root="my graphs")) == "--data-root 'my graphs' "
