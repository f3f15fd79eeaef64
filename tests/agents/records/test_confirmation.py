from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents.records.confirmation import confirmed_models
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.user_files import digests
from mixq_rl.errors import InputError

RUN = Path("run")
GCN = EvaluatorConfig(model="gcn")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "net.py").write_text(f"raise RuntimeError('{folder}')  # nothing is executed here\n")
    Path("w.pt").touch()


def own(folder: str, weights: str | None = None) -> EvaluatorConfig:
    return EvaluatorConfig(model=f"{folder}/net.py:Net", weights=weights).pinned()


@pytest.mark.parametrize("models", [(), ("gcn",)])
def test_a_model_by_name_needs_no_confirmation(models: tuple[str, ...]) -> None:
    assert confirmed_models([GCN], RUN, models, None) == [GCN]


@pytest.mark.parametrize(
    ("config", "models", "weights", "message"),
    [
        (own, (), None, "'run' names a model whose code you did not name: .*, add --model a/net.py:Net$"),
        (own, (), "w.pt", "'run' has no weights: leave --weights w.pt out"),
        (own, ("a/net.py:Other",), None, "'run' has model 'net.py:Net', and not 'a/net.py:Other': leave --model"),
        (own, ("a/net.py:Net", "sage"), None, "and not 'sage': leave --model sage out"),
        (GCN, ("a/net.py:Net",), None, "'run' has model 'gcn', and not 'a/net.py:Net'"),
        (GCN, (), "w.pt", "'run' has no weights"),
        (
            replace(GCN, weights="my w.pt"),
            (),
            None,
            "'run' names weights that you did not name: .* --weights 'my w.pt'$",
        ),
    ],
)
def test_what_the_user_did_not_name_is_asked_for(
    config: object, models: tuple[str, ...], weights: str | None, message: str
) -> None:
    made = config if isinstance(config, EvaluatorConfig) else own("a")
    with pytest.raises(InputError, match=message):
        confirmed_models([made], RUN, models, weights)


def test_the_users_own_path_is_used() -> None:
    (found,) = confirmed_models([own("a", "w.pt")], RUN, ["a/../a/net.py:Net"], "./w.pt")
    assert (found.model, found.weights) == ("a/../a/net.py:Net", "./w.pt")
    assert found.model_sha256 == own("a").model_sha256


def test_of_files_of_one_name_each_task_has_the_one_it_began_with() -> None:
    configs = [own("b"), GCN, own("a")]
    named = ["a/net.py:Net", "b/net.py:Net"]
    assert [config.model for config in confirmed_models(configs, RUN, named, None)] == [
        "b/net.py:Net",
        "gcn",
        "a/net.py:Net",
    ]


def test_nothing_is_loaded_from_a_file_that_has_changed() -> None:
    config = own("a", "w.pt")
    for path, message in (
        ("a/net.py", "'a/net.py:Net', or a module beside it"),
        ("w.pt", "'w.pt' is not what the run"),
    ):
        before = Path(path).read_bytes()
        Path(path).write_text("raise RuntimeError('executed')")
        with pytest.raises(InputError, match=message):
            config.load()
        Path(path).write_bytes(before)
    assert digests(config.model, config.weights) == {
        "model_sha256": config.model_sha256,
        "weights_sha256": config.weights_sha256,
    }
