"""Mutations of every file of a run: each is read as before, or refused in one line."""

import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.agents import PPOAgent, RunResult
from mixq_rl.agents.records.checkpoints import Checkpoints
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.policy_record import load_tasks
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.trace import traces
from mixq_rl.agents.report import report_page, searched
from mixq_rl.agents.runs.policy import PolicyPlan
from mixq_rl.errors import InputError
from mixq_rl.training.cache import Preparation, PreparationCache
from tests.agents.cli.invoking import Invoke
from tests.hostile.mutations import ATTACKS, mutated_bytes, mutated_json, signed

KEY = "k" * 64
Read = Callable[[Path], object]


def _execute(folder: Path) -> None:
    model = mixq_rl.IntegerModel.load(folder / "model")
    task = mixq_rl.load_task(str(folder.parent / "graph.npz"))
    logits = model(task.x, task.edge_index)
    assert logits.dtype == torch.float32


def _read_store(folder: Path) -> None:
    for read_only in (True, False):
        with closing(mixq_rl.EvaluationStore(folder / "evaluations.sqlite", read_only=read_only)) as store:
            for fingerprint in store.evaluators():
                for trace in traces(store, fingerprint):
                    assert trace.area(8) >= 0


def _report(folder: Path) -> None:
    run = RunFolder.read(folder)
    result = RunResult.load(run.result)
    assert "</html>" in report_page(result, searched(run, result), run)


def _restore(folder: Path) -> None:
    run = RunFolder.read(folder)
    for kind in (RunConfig, PolicyPlan):
        try:
            run.restore(kind)
        except InputError:
            continue


READERS: dict[str, tuple[str, str, Read]] = {
    "config": ("config.json", "", _report),
    "configuration": ("config.json", "", _restore),
    "result": ("result.json", "", _report),
    "store": ("evaluations.sqlite", "", _read_store),
    "model": ("model/integer_model.json", "integer_model", _execute),
    "model's tensors": ("model/integer_model.safetensors", "integer_model", _execute),
    "policy": ("policy/policy.json", "policy", lambda folder: PPOAgent.load(folder / "policy")),
    "policy's tensors": ("policy/policy.safetensors", "policy", lambda folder: PPOAgent.load(folder / "policy")),
    "checkpoint": (
        "checkpoints/000000004/checkpoint.json",
        "checkpoint",
        lambda folder: Checkpoints(folder / "checkpoints").latest(),
    ),
    "checkpoint's tensors": (
        "checkpoints/000000004/checkpoint.safetensors",
        "checkpoint",
        lambda folder: Checkpoints(folder / "checkpoints").latest(),
    ),
    "cache": (
        f"cache/{KEY}/preparation.json",
        "preparation",
        lambda folder: PreparationCache(folder / "cache").get(KEY),
    ),
    "cache's tensors": (
        f"cache/{KEY}/preparation.safetensors",
        "preparation",
        lambda folder: PreparationCache(folder / "cache").get(KEY),
    ),
    "tasks": ("tasks.json", "", lambda folder: load_tasks(folder / "tasks.json")),
}


@pytest.fixture
def run(small_run: Path) -> Path:
    """A finished run, with a checkpoint, a prepared network and the result of a policy as well."""
    state = {"agent": {"weights": torch.arange(6.0), "step": 3}, "list": [1, 2.5, "a", None]}
    Checkpoints(small_run / "checkpoints").save(4, state)
    tensors = {"weight": torch.ones(2, 3), "bias": torch.zeros(3)}
    PreparationCache(small_run / "cache").put(KEY, Preparation(tensors, tensors, torch.ones(2, 3)))
    task = {"task": "a", "bit_widths": [2, 4], "evaluations": 3, "hypervolume": 0.5, "reduction": 4.0, "swept": None}
    (small_run / "tasks.json").write_text(json.dumps([task]))
    return small_run


@pytest.mark.parametrize("name", READERS)
def test_mutations_are_read_or_refused_in_one_line(run: Path, name: str) -> None:
    file, kind, read = READERS[name]
    path = run / file
    honest = path.read_bytes()
    whole = path.parent if kind else path
    kept = run.parent / "kept"
    shutil.copytree(whole, kept) if kind else shutil.copy(path, kept)
    read(run)
    refused = 0
    for seed in range(ATTACKS):
        chance = random.Random(f"{name} {seed}")
        as_json = path.suffix == ".json" and seed % 4
        content = (
            json.dumps(mutated_json(json.loads(honest), chance)).encode() if as_json else mutated_bytes(honest, chance)
        )
        path.write_bytes(content)
        if kind and seed % 2:
            with suppress(ValueError, RecursionError):  # no JSON any more
                signed(path.parent, kind)
        started = time.monotonic()
        refusal = _refusal(read, run, f"attack {seed} on {file}")
        refused += refusal is not None
        assert len(refusal or "") < 1000, f"attack {seed}"
        assert time.monotonic() - started < 10, f"attack {seed}"
        for beside in (f"{path}-wal", f"{path}-shm", f"{path}-journal"):
            Path(beside).unlink(missing_ok=True)
        shutil.rmtree(whole) if kind else path.unlink(missing_ok=True)
        shutil.copytree(kept, whole) if kind else shutil.copy(kept, path)
    assert refused or "cache" in name or "checkpoint" in name


def _refusal(read: Read, run: Path, attack: str) -> str | None:
    try:
        read(run)
    except (InputError, OSError) as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{attack} ends in {error!r}") from error
    return None


@pytest.mark.parametrize("file", ["config.json", "result.json", "evaluations.sqlite"])
def test_commands_refuse_mutations_in_one_line(invoke: Invoke, small_run: Path, file: str) -> None:
    path = small_run / file
    honest = path.read_bytes()
    for seed in range(ATTACKS // 2):
        chance = random.Random(f"{file} {seed}")
        content = honest
        if path.suffix == ".json" and seed % 4:
            content = json.dumps(mutated_json(json.loads(honest), chance)).encode()
        else:
            content = mutated_bytes(honest, chance)
        for arguments in (("report", "run"), ("compare", "run"), ("runs", "."), ("export", "run", "--output", "out")):
            path.write_bytes(content)
            ended = invoke(*arguments)
            assert ended.code in (0, 1, 2), f"attack {seed}: {ended}"
            assert len(ended.stderr.splitlines()) <= 1, f"attack {seed}: {ended}"
            assert "Traceback" not in ended.stderr, f"attack {seed}: {ended}"
            shutil.rmtree("out", ignore_errors=True)
