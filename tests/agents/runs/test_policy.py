"""One policy for several tasks: learned, transferred, used at once."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mixq_rl
from mixq_rl.agents import EvaluatorConfig, PolicyPlan, PPOAgent, train_policy
from mixq_rl.agents.allocation import pretrained
from mixq_rl.envs import BitAllocationEnv, MaxBitOps
from mixq_rl.errors import InputError
from tests.agents.cli.invoking import run, save_graph
from tests.conftest import MakeOnce, make_task
from tests.lookup_table import LookupTable


def make_policy(folder: Path) -> None:
    save_graph(folder / "graph.npz")
    arguments = ["--model", "gcn", "--model", "gin", "--bits", "2,4,8", "--bits", "1,3", "--hidden-channels", "8"]
    done = run(
        *["train", "--dataset", "graph.npz", *arguments, "--episodes", "20", "--run-dir", "learned"],
        cwd=folder,
        check=True,
    )
    (folder / "printed").write_text(done.stdout)


@pytest.fixture
def folder(make_once: MakeOnce, tmp_path: Path) -> Path:
    """Where the command line trained one policy on two networks at two sets of bit-widths."""
    return shutil.copytree(make_once("policy-of-four-tasks", make_policy), tmp_path, dirs_exist_ok=True)


def test_one_policy_is_trained_on_all_combinations(folder: Path) -> None:
    printed = (folder / "printed").read_text()
    for part in ("gcn on graph.npz", "bits 1,3", "learning on all tasks", "run folder: learned"):
        assert part in printed
    described = json.loads((folder / "learned" / "policy" / "policy.json").read_text())
    offers = ("2,4,8", "1,3")
    titles = [f"{model} on graph.npz bits {bits} hidden channels 8" for model in ("gcn", "gin") for bits in offers]
    assert [task["task"] for task in described["tasks"]] == titles
    assert [task["bit_widths"] for task in described["tasks"]] == [[2, 4, 8], [1, 3]] * 2
    assert [task["evaluations"] for task in described["tasks"]] == [20] * 4
    assert all(task["swept"] > 0 for task in described["tasks"])
    config = json.loads((folder / "learned" / "config.json").read_text())
    assert config["format"] == "mixq_rl/policy"
    assert [task["model"] for task in config["config"]["tasks"]] == ["gcn", "gcn", "gin", "gin"]
    assert len(list((folder / "runs" / "prepared").iterdir())) == 4
    events = EventAccumulator(str(folder / "learned"))
    events.Reload()
    for title in titles:
        logged = events.Scalars(f"tasks/{title}/hypervolume")
        volumes = [event.value for event in logged]
        assert volumes == sorted(volumes)
        assert 0 < logged[0].step < logged[-1].step <= 80
    text = run("compare", "learned", cwd=folder, check=True).stdout
    assert "several tasks" in text
    assert "train/loss" in events.Tags()["scalars"]


def test_a_policy_is_transferred(folder: Path) -> None:
    arguments = ["--dataset", "graph.npz", "--model", "sage", "--hidden-channels", "8", "--bits", "2,4,8"]
    done = run("transfer", "--policy", "learned", *arguments, "--run-dir", "moved", cwd=folder, check=True)
    for part in ("float32", "uniform 4", "★", "run folder: moved"):
        assert part in done.stdout
    config = json.loads((folder / "moved" / "config.json").read_text())["config"]
    assert (config["policy"], config["episodes"]) == ("learned", 16)
    with (folder / "moved" / "allocations.csv").open() as file:
        assert next(csv.reader(file))[0] == "network"
    taught, kept = (PPOAgent.load(folder / name / "policy") for name in ("learned", "moved"))
    assert [task["task"] for task in kept.record.tasks[:-1]] == [task["task"] for task in taught.record.tasks]
    assert kept.record.tasks[-1]["evaluations"] == 16
    assert kept.sweep(LookupTable()) == taught.sweep(LookupTable())
    mixq_rl.IntegerModel.load(folder / "moved" / "model")


def test_a_policy_goes_on_learning(folder: Path) -> None:
    arguments = ["--dataset", "graph.npz", "--hidden-channels", "8", "--episodes", "24"]
    run("transfer", "--policy", "learned/policy", *arguments, "--run-dir", "more", cwd=folder, check=True)
    store = mixq_rl.EvaluationStore(folder / "more" / "evaluations.sqlite")
    (fingerprint,) = store.evaluators()
    assert len(store.evaluations(fingerprint)) == 24
    taught, kept = (PPOAgent.load(folder / name / "policy") for name in ("learned", "more"))
    before, after = (agent._policy.state_dict().values() for agent in (taught, kept))
    assert any(bool((one != other).any()) for one, other in zip(before, after, strict=True))


def test_bit_widths_are_named_at_once(folder: Path) -> None:
    arguments = ["allocate", "--dataset", "graph.npz", "--hidden-channels", "8"]
    done = run(*arguments, "--policy", "learned", cwd=folder, check=True)
    for part in ("conv1.adjacency", "conv2.aggregate", "fewer bit operations", "training in float32"):
        assert part in done.stdout
    assert "supernet" not in done.stdout
    again = run(*arguments, "--max-drop", "1", cwd=folder, check=True)
    assert "after a short fine-tuning" in again.stdout
    assert "conv2.aggregate" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "--policy", "nowhere"], "nowhere holds no policy"),
        (["allocate", "--policy", "runs"], "runs holds no policy"),
        (["allocate", "--preference", "2"], "preference 2.0 is outside [0, 1]"),
        (["allocate", "--max-drop", "-1"], "a tolerated drop of -1.0 points: it cannot be negative"),
        (["allocate", "--max-drop", "1", "--preference", "0.5"], "choose one of the two"),
        (["train", "--model", "gcn", "--model", "gin", "--max-drop", "1"], "max_drop: a policy for several tasks"),
        (["train", "--model", "gcn", "--model", "gin", "--objective", "latency"], "learns to save bit operations"),
        (["train", "--model", "gcn", "--model", "gcn"], "a task is named twice"),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_misuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one is needed"):
        PolicyPlan(())
    with pytest.raises(InputError, match="0 episodes"):
        PolicyPlan((EvaluatorConfig(),), episodes=0)
    (tmp_path / "something").write_text("")
    with pytest.raises(InputError, match="holds 'something'"):
        train_policy(PolicyPlan((EvaluatorConfig(),)), tmp_path)


def test_the_policy_of_the_package_allocates_for_any_network() -> None:
    task = make_task()
    for model in ("gcn", "gat"):
        network = mixq_rl.fit(mixq_rl.build_model(model, task, hidden_channels=8, seed=0), task, epochs=5)
        allocation = mixq_rl.allocate(network, task, preference=1.0, bit_widths=(1, 2, 5))
        assert len(allocation) == len(network.components)
        assert set(allocation) <= {1, 2, 5}
    dearer = mixq_rl.allocate(network, task, preference=0.0, bit_widths=(1, 2, 5))
    assert sum(dearer) > sum(allocation)


def test_an_allocation_for_a_drop_is_one_of_the_sweep() -> None:
    task = make_task()
    network = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8, seed=0), task, epochs=40)
    calibrated = mixq_rl.PostTrainingEvaluator(network, task)
    proposed = calibrated.evaluate([*pretrained().sweep(calibrated), (8,) * len(calibrated.components)])
    cheapest = min(proposed, key=lambda evaluation: evaluation.bitops)
    assert mixq_rl.allocate(network, task, max_drop=100.0) == cheapest.allocation
    assert cheapest.reduction > 8
    for drop in (0.0, 3.0):
        allocation = mixq_rl.allocate(network, task, max_drop=drop)
        assert allocation in [evaluation.allocation for evaluation in proposed]


def test_an_agent_that_learned_with_another_reward_allocates_as_it_is_asked() -> None:
    task = make_task()
    network = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8, seed=0), task, epochs=5)
    agent = PPOAgent(BitAllocationEnv(LookupTable(), reward=MaxBitOps(30.5)), seed=0).learn(8)
    assert len(mixq_rl.allocate(network, task, preference=0.2, policy=agent)) == len(network.components)


def test_the_policy_of_the_package_did_not_learn_on_the_graphs_of_its_tests() -> None:
    learned = {task["task"].split()[2].removesuffix(".npz") for task in pretrained().record.tasks}
    assert {"citation", "Cora", "EN"} < learned
    assert not learned & {"CiteSeer", "PT", "Facebook", "PROTEINS", "MUTAG", "CSL"}
    assert len({tuple(task["bit_widths"]) for task in pretrained().record.tasks}) >= 5


def test_the_policy_of_the_package_uses_one_bit_where_it_is_offered() -> None:
    task = mixq_rl.load_task("citation")
    network = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=16, seed=0), task, epochs=40)
    evaluator = mixq_rl.PostTrainingEvaluator(network, task, bit_widths=(1, 2, 4, 8))
    careful, thrifty = (pretrained().allocate(evaluator, preference) for preference in (0.0, 0.9))
    assert careful.count(1) < thrifty.count(1)
    assert sum(careful) > sum(thrifty)


def test_the_policy_of_the_package_is_small() -> None:
    files = list((Path(mixq_rl.agents.__file__).parent / "ppo" / "pretrained").iterdir())
    assert {file.name for file in files} == {"policy.json", "policy.safetensors"}
    assert sum(file.stat().st_size for file in files) < 300_000
