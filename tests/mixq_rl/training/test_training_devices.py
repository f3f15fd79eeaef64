"""Training and evaluation on another device than the CPU, as far as a machine without one can tell.

``tests/test_gpu.py`` has what only a machine with a GPU can tell.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl import Ledger
from mixq_rl.agents.searches import SearchProblem, run_search
from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.errors import InputError
from mixq_rl.quantization import schemes
from mixq_rl.training import Preparation, calibrate, class_probabilities, fine_tune, fit_supernet, restore_prepared
from tests.conftest import make_classified_graphs, make_task
from tests.mixq_rl.frozen import MODELS
from tests.pairwise import alternating
from tests.pretended_device import ELSEWHERE, pretended_gpu

BITS = (1, 8)
each_model_and_kind = pytest.mark.parametrize(("name", "kind"), alternating(MODELS, ("node", "graph")))
each_kind = pytest.mark.parametrize("kind", ["node", "graph"])


@pytest.fixture(autouse=True)
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scales are chosen among a few: each is an operation that is looked at."""
    monkeypatch.setattr("mixq_rl.quantization.quantizer._SEARCH_STEPS", 3)


@pytest.fixture
def gpu() -> Iterator[None]:
    with pretended_gpu():
        yield


def small_task(kind: str, *, weighted: bool = False) -> GraphTask:
    task = make_task(40, 8) if kind == "node" else make_classified_graphs(16)
    weight = 0.2 + torch.rand(task.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    sign = None if kind == "node" else torch.arange(task.num_features) < 2
    return replace(task, edge_weight=weight if weighted else None, arbitrary_sign=sign)


def trained(name: str, task: GraphTask) -> mixq_rl.QuantizableModel:
    model = mixq_rl.build_model(name, task, hidden_channels=8, num_layers=2)
    return mixq_rl.fit(model, task, epochs=1)


def places(model: torch.nn.Module) -> set[torch.device]:
    return {tensor.device for tensor in [*model.parameters(), *model.buffers()]}


@each_model_and_kind
def test_training_and_evaluation_stay_where_the_task_is(name: str, kind: str, gpu: None) -> None:
    task = small_task(kind, weighted=mixq_rl.nn.models[name].takes_weights).to(ELSEWHERE)
    model = trained(name, task)
    assert places(model) == {ELSEWHERE}
    assert class_probabilities(model, task).device == ELSEWHERE
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=BITS, epochs=1)
    assert places(evaluator.model) == {ELSEWHERE}
    count = len(evaluator.components)
    mixed = [BITS[index % len(BITS)] for index in range(count)]
    found = evaluator.evaluate([mixed, [8] * count])
    assert all(0 <= evaluation.accuracy <= 1 for evaluation in found)
    tuned = evaluator.fine_tune(mixed, epochs=1)
    assert tuned.device == ELSEWHERE
    assert 0 <= evaluator.measure(tuned, "test").accuracy <= 1


@pytest.mark.parametrize(
    ("scheme", "kind"), alternating([name for name in schemes if name != "lsq"], ("node", "graph"))
)
def test_all_schemes_stay_there(scheme: str, kind: str, gpu: None) -> None:
    task = small_task(kind).to(ELSEWHERE)
    model = fit_supernet(trained("gcn", task), task, BITS, scheme=schemes[scheme], epochs=1)
    tuned = fine_tune(model, task, [8] * len(model.quantizers), epochs=1)
    assert places(tuned) == {ELSEWHERE}
    assert mixq_rl.IntegerModel.freeze(tuned, [8] * len(model.quantizers)).device == ELSEWHERE


@each_kind
def test_the_relaxed_search_stays_there(kind: str, gpu: None) -> None:
    task = small_task(kind).to(ELSEWHERE)
    evaluator = mixq_rl.PostTrainingEvaluator(trained("sage", task), task, bit_widths=BITS)
    budgeted = Ledger(evaluator, budget=3)
    run_search("relaxed", SearchProblem(budgeted))
    assert len(budgeted.evaluations) == 3


@each_model_and_kind
def test_a_seed_gives_every_device_the_same_data_and_nearly_the_same_network(name: str, kind: str) -> None:
    """The pretended GPU has the CPU's generator for dropout too; sums differ in their order."""
    here = small_task(kind, weighted=mixq_rl.nn.models[name].takes_weights)
    expected = fit_supernet(trained(name, here), here, BITS, epochs=1).state_dict()
    with pretended_gpu():
        task = here.to(ELSEWHERE)
        found = fit_supernet(trained(name, task), task, BITS, epochs=1).state_dict()
        found = {key: value.cpu() for key, value in found.items()}
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=2e-2, atol=2e-3, msg=lambda text, key=key: f"{key}: {text}")


def test_a_network_kept_on_disk_goes_where_it_is_wanted(gpu: None, tmp_path: Path) -> None:
    task = small_task("node").to(ELSEWHERE)
    model = trained("gcn", task)
    calibrate(model, task, BITS)
    frozen = mixq_rl.IntegerModel.freeze(model, [8] * len(model.quantizers))
    frozen.save(tmp_path)
    read = mixq_rl.IntegerModel.load(tmp_path, "cuda")
    assert read.device == ELSEWHERE
    assert torch.equal(read(task.x, task.edge_index).cpu(), frozen(task.x, task.edge_index).cpu())
    assert mixq_rl.IntegerModel.load(tmp_path).device == torch.device("cpu")


def test_a_prepared_state_goes_where_the_task_is(gpu: None) -> None:
    task = small_task("node").to(ELSEWHERE)
    model = trained("gcn", task)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=BITS, epochs=1)
    kept = {name: tensor.detach().cpu() for name, tensor in evaluator.model.state_dict().items()}
    again = mixq_rl.SupernetEvaluator.of(
        restore_prepared(model, task, BITS, Preparation({}, kept, evaluator.teacher.cpu())), epochs=1
    )
    assert places(again.model) == {ELSEWHERE}
    assert again.fingerprint == evaluator.fingerprint


def test_a_model_elsewhere_than_its_task_is_refused_with_the_remedy(gpu: None) -> None:
    task = small_task("node")
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    with pytest.raises(InputError, match=r"x is on cuda:0, the model is on cpu: move one by \.to\(\)"):
        mixq_rl.fit(model, task.to(ELSEWHERE), epochs=1)


def test_two_devices_in_one_operation_are_noticed(gpu: None) -> None:
    there = torch.zeros(3, device="cuda")
    assert (there + 1).device == ELSEWHERE
    assert (there * torch.ones(())).device == ELSEWHERE
    for mistake in (
        lambda: there + torch.zeros(3),
        lambda: there[torch.arange(2)],
        lambda: torch.cat([there, torch.zeros(1)]),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mistake()
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_two_devices_in_a_backward_pass_are_noticed(gpu: None) -> None:
    class Mistaken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grad: torch.Tensor) -> torch.Tensor:
            return grad[0] * torch.ones(3)

    x = torch.zeros(3, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match="same device"):
        Mistaken.apply(x).sum().backward()


def test_a_tensor_made_on_the_cpu_in_the_midst_of_training_is_noticed(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(self: GraphTask, labelled: torch.Tensor) -> GraphInputs:
        return GraphInputs(self.x, self._graph, self.y, labelled, torch.arange(self.num_nodes))

    task = small_task("node").to(ELSEWHERE)
    monkeypatch.setattr(GraphTask, "_whole", whole)
    with pytest.raises(RuntimeError, match="same device"):
        class_probabilities(mixq_rl.build_model("gcn", task, hidden_channels=8), task)
