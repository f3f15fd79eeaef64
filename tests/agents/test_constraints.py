"""Searches, policies and runs keep the constraints of a user, on a lookup table and on a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mixq_rl
from mixq_rl import Ledger, PostTrainingEvaluator
from mixq_rl.agents import PPOAgent, RunConfig, SearchProblem, resume_training, run_search, train
from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.folder import finalist_path
from mixq_rl.agents.runs.search import SearchPlan, run_searches
from mixq_rl.agents.searches import searches
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import BitAllocationEnv, Constraints, EpisodeRules, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Forbidden
from mixq_rl.training import Progress
from tests.agents.cli.invoking import save_graph
from tests.envs.test_limits import Table, permitted

WANTED = Constraints(bits_of={"conv1.input": (2, 8), "*.message": 4}, max_size=400)
FORBIDDEN = Forbidden((1, 3), (4, 8), "a sum might overflow")


def network_constraints(evaluator: mixq_rl.SupernetEvaluator) -> Constraints:
    smallest, largest = evaluator.sizes([[2] * 9, [8] * 9])
    return Constraints(
        bits_of={"conv1.weight": (4, 8), "conv*.adjacency": (4, 8), "conv2.message": 8},
        max_size=(smallest + largest) // 2,
    )


@pytest.mark.parametrize("name", [name for name in searches if name != "relaxed"])
def test_searches_keep_the_limits_of_a_table(name: str) -> None:
    table = Table([FORBIDDEN])
    ledger = Ledger(table, budget=24)
    run_search(name, SearchProblem(ledger, constraints=WANTED))
    allowed = permitted(WANTED, table)
    assert len(allowed) == 20
    assert set(ledger.evaluations) <= set(allowed)
    assert len(ledger.evaluations) >= (3 if name == "uniform" else 7)


@pytest.mark.parametrize("name", list(searches))
def test_searches_keep_the_limits_of_a_network(name: str, evaluator: mixq_rl.SupernetEvaluator) -> None:
    wanted = network_constraints(evaluator)
    ledger = Ledger(evaluator, budget=14)
    run_search(name, SearchProblem(ledger, constraints=wanted))
    assert ledger.evaluations
    limits = EpisodeRules(Ledger(evaluator), constraints=wanted).limits
    for allocation, evaluation in ledger.evaluations.items():
        assert limits.keeps([allocation])[0]
        assert evaluation.size <= wanted.max_size  # type: ignore[operator]
        assert allocation[1] in (4, 8)
        assert allocation[6] == 8


def test_a_search_of_few_allocations_ends() -> None:
    ledger = Ledger(Table(), budget=64)
    run_search("random", SearchProblem(ledger, constraints=Constraints(bits_of={"*": 4, "*.weight": 4})))
    assert list(ledger.evaluations) == [(4, 4, 4, 4)]


def test_policies_are_masked(evaluator: mixq_rl.SupernetEvaluator) -> None:
    wanted = network_constraints(evaluator)
    agent, limits = pretrained(), EpisodeRules(evaluator, constraints=wanted).limits
    chosen = [agent.allocate(evaluator, w, constraints=wanted) for w in (0.0, 0.3, 1.0)]
    swept = agent.sweep(evaluator, reward=TradeOff(), constraints=wanted)
    assert limits.keeps([*chosen, *swept]).all()
    assert not limits.keeps([agent.allocate(evaluator, 0.0)])[0]


@pytest.mark.slow
def test_an_agent_allocates_within_the_constraints_that_it_learned_with() -> None:
    table = Table([FORBIDDEN])
    env = BitAllocationEnv(table, constraints=WANTED)
    agent = PPOAgent(env, seed=0).learn(10)
    allowed = set(permitted(WANTED, table))
    assert set(env.evaluator.evaluations) <= allowed
    assert {agent.allocate(table, w) for w in (0.0, 0.5, 1.0)} <= allowed
    assert set(agent.clone_best().sweep(table)) <= allowed


@pytest.mark.parametrize("max_drop", [None, 0.0, 100.0])
def test_allocate_keeps_the_constraints(
    max_drop: float | None, task: GraphTask, float_model: mixq_rl.QuantizableModel, evaluator: mixq_rl.SupernetEvaluator
) -> None:
    wanted = network_constraints(evaluator)
    chosen = mixq_rl.allocate(float_model, task, max_drop=max_drop, constraints=wanted)
    assert EpisodeRules(evaluator, constraints=wanted).allows(chosen)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    save_graph(folder / "graph.npz")
    return folder / "graph.npz"


def configured(graph: Path, **others: Any) -> RunConfig:
    return RunConfig(
        dataset=str(graph),
        hidden_channels=8,
        evaluator="post-training",
        bits=(2, 4),
        pin=("conv1.message=8",),
        bits_of=("conv*.adjacency=4,8",),
        **others,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [{}, {"objective": "size", "max_drop": 5.0, "max_reduction": 5.0}, {"from_scratch": True}],
)
def test_networks_of_a_run_keep_the_constraints(others: dict[str, Any], graph: Path, tmp_path: Path) -> None:
    others = {"episodes": 12} | others
    wider = configured(graph, **others)
    task, model = wider.load()
    evaluator = PostTrainingEvaluator(model, task, bit_widths=wider.offered)
    names = [component.name for component in evaluator.components]
    lowest = [8 if name == "conv1.message" else 4 if "adjacency" in name else 2 for name in names]
    highest = [8 if name == "conv1.message" or "adjacency" in name else 4 for name in names]
    smallest, largest = evaluator.sizes([lowest, highest])
    limit = (smallest + largest) // 2
    run_dir = tmp_path / "run"
    result = train(configured(graph, max_size=str(limit), **others), run_dir)
    assert result.best.evaluation.size <= limit
    assert sum(file.stat().st_size for file in (run_dir / "model").iterdir()) <= limit
    assert result.mixed
    for finalist in result.finalists[1:]:
        bits = dict(zip(result.components, finalist.evaluation.allocation, strict=True))
        assert bits["conv1.message"] == 8
        assert {bits["conv1.adjacency"], bits["conv2.adjacency"]} <= {4, 8}
        assert all(width in (2, 4) for name, width in bits.items() if name != "conv1.message" and "adj" not in name)
        stored = sum(file.stat().st_size for file in finalist_path(run_dir / "finalists", finalist.label).iterdir())
        assert stored <= finalist.evaluation.size
    for finalist in result.mixed:
        assert finalist.evaluation.size <= limit
        assert finalist.evaluation.reduction >= others.get("max_reduction", 0)
    assert [finalist.label for finalist in result.uniform] == ["uniform 4", "uniform 2"]
    page = (run_dir / "report.html").read_text()
    assert f"conv1.message=8, conv*.adjacency=4,8, at most {limit}" in page
    assert resume_training(run_dir).document() == result.document()


def test_impossible_limits_are_refused_before_anything_is_trained(graph: Path, tmp_path: Path) -> None:
    stages: list[str] = []

    @contextmanager
    def stage(what: str, unit: str) -> Iterator[Progress]:
        stages.append(what)
        yield lambda done, total: None

    for limits, message in (
        (
            {"max_size": "1KB"},
            r"a limit of 1,000 bytes cannot be kept: networks of the given bit-widths take [0-9,]+ to",
        ),
        (
            {"max_bitops": 10.0},
            r"a limit of 10 bit operations cannot be kept: allocations of the given bit-widths take",
        ),
    ):
        with pytest.raises(InputError, match=message):
            train(configured(graph, **limits), tmp_path / "run", stage)
    with pytest.raises(InputError, match=r"no component matches 'conv9.weight'"):
        run_searches(
            EvaluatorConfig(dataset=str(graph), pin=("conv9.weight=8",)), SearchPlan(), tmp_path / "run", stage
        )
    assert not (tmp_path / "run").exists()
    assert {*stages} == {"loading the dataset", "checking the limits"}
