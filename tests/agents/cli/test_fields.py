import json
import re
from dataclasses import dataclass, field, replace
from inspect import unwrap
from pathlib import Path

import pytest
import typer

from mixq_rl.agents import RunConfig
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.train import train
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.errors import InputError
from tests.agents.cli.invoking import SMALL, Invoke


@dataclass(frozen=True, kw_only=True)
class Wider(RunConfig):
    batch_size: int | None = field(default=None, metadata={"help": "Graphs of a batch.", "show_default": "all"})
    momentum: float = field(default=0.9, metadata={"help": "Of the optimizer."})
    warm_up: tuple[int, ...] = field(default=(1, 2), metadata={"help": "Epochs of each stage."})
    note: str = "no option"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum {self.momentum:g} is outside 0...1")


def call(*arguments: str) -> None:
    """Call mixq-rl train as it would be with a wider configuration."""
    application = typer.Typer(pretty_exceptions_enable=False)
    with_workers = options_of(WorkersConfig, parameter="working")(unwrap(train))
    application.command("train")(options_of(Wider)(with_workers))
    application(list(arguments), standalone_mode=False)


@pytest.mark.usefixtures("invoke")  # goes into a folder with a graph
def test_one_more_field_is_an_option_and_stands_in_the_configuration_and_the_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call("--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert re.search(r"--momentum <float> Of the optimizer\. \[default: 0\.9\]", shown)
    assert re.search(r"--batch-size <int> Graphs of a batch\. \[default: \(all\)\]", shown)
    assert re.search(r"--warm-up <str> Epochs of each stage\. \[default: 1,2\]", shown)
    assert "--note" not in shown

    call(*SMALL, "--momentum", "0.5", "--warm-up", "3,4", "--run-dir", "run", "--quiet")
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert (config["momentum"], config["warm_up"], config["batch_size"]) == (0.5, [3, 4], None)
    assert (config["num_layers"], config["bits"]) == (1, [2, 4])
    page = Path("run/report.html").read_text()
    assert re.search(r"<dt>momentum</dt>\s*<dd>0.5</dd>", page)
    assert re.search(r"<dt>warm up</dt>\s*<dd>3, 4</dd>", page)


@pytest.mark.usefixtures("invoke")
def test_one_more_field_is_validated_and_comes_from_a_file() -> None:
    with pytest.raises(InputError, match=r"momentum 2 is outside 0\.\.\.1"):
        call("--momentum", "2")
    with pytest.raises(InputError, match=r"--warm-up '3,x' is not a list of whole numbers such as 2,4,8"):
        call("--warm-up", "3,x")
    Path("options.json").write_text(json.dumps({"warm_up": [5], "momentum": 0.25}))
    call("--config", "options.json", *SMALL, "--run-dir", "run", "--quiet")
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert (config["momentum"], config["warm_up"]) == (0.25, [5])


@pytest.mark.parametrize("option", ["--num-layers", "--layers"])
def test_the_number_of_layers_has_two_names(option: str, invoke: Invoke) -> None:
    for command in ("train", "search", "transfer", "allocate"):
        ended = invoke(command, "--dataset", "graph.npz", option, "0")
        assert ended.code == 2
        assert "a gcn of 0 layers" in ended.stderr
    Path("options.json").write_text(json.dumps({option[2:].replace("-", "_"): 0}))
    assert "a gcn of 0 layers" in invoke("train", "--dataset", "graph.npz", "--config", "options.json").stderr


def test_combinations_are_made_of_all_fields_with_several_values() -> None:
    values = {"seed": 3, "bits": ["2,4", "8"], "model": ["gcn", "gin"], "num_layers": None}
    given = Given(EvaluatorConfig, values, several=("model", "num_layers", "bits"))
    base = EvaluatorConfig(seed=3)
    assert given.configs() == [
        replace(base, model=model, bits=bits) for model in ("gcn", "gin") for bits in ((2, 4), (8,))
    ]


def test_a_command_keeps_its_own_parameter_in_place_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    received: list[EvaluatorConfig] = []

    @options_of(EvaluatorConfig, only=("model", "seed"))
    def command(*, seed: int = 5, given: Given[EvaluatorConfig]) -> None:
        """Example."""
        received.append(given.config(seed=seed))

    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(command)
    application(["--model", "gin"], standalone_mode=False)
    assert received == [EvaluatorConfig(model="gin", seed=5)]
    application(["--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "--device" not in shown
    assert shown.index("--seed") < shown.index("--model")
