import itertools
from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.errors import SumOverflowError
from mixq_rl.evaluation.protocol import Forbidden, Restricted

LEAVES = 70_000
BITS = (2, 4, 8)


def star_task(leaves: int = LEAVES) -> GraphTask:
    generator = torch.Generator().manual_seed(0)
    nodes = torch.arange(1, leaves)
    return GraphTask(
        "star",
        torch.randn(leaves, 2, generator=generator),
        torch.stack([nodes, torch.zeros_like(nodes)]),
        torch.randint(2, (leaves,), generator=generator),
        fraction_split(leaves, train=0.5, validation=0.25, seed=0),
    )


def evaluator_of(kind: str, task: GraphTask) -> mixq_rl.PostTrainingEvaluator:
    model = mixq_rl.build_model(kind, task, hidden_channels=8)
    return mixq_rl.PostTrainingEvaluator(model, task, bit_widths=BITS)


def allowed(forbidden: tuple[Forbidden, ...], allocation: tuple[int, ...]) -> bool:
    return not any(
        all(allocation[at] >= bits for at, bits in zip(each.components, each.bit_widths, strict=True))
        for each in forbidden
    )


@pytest.fixture(scope="module")
def task() -> GraphTask:
    return star_task()


def test_the_least_combinations_are_messages_and_adjacency_of_a_hub(task: GraphTask) -> None:
    evaluator = evaluator_of("gcn", task)
    assert isinstance(evaluator, Restricted)
    names = [component.name for component in evaluator.components]
    found = {tuple(names[at] for at in each.components): each for each in evaluator.forbidden}
    assert set(found) == {("conv1.message", "conv1.adjacency"), ("conv2.message", "conv2.adjacency")}
    first = found["conv1.message", "conv1.adjacency"]
    assert first.bit_widths == (8, 8)
    assert "layer 'conv1.aggregate': the sum over the 70000 neighbours of node 0" in first.reason
    assert "\n" not in first.reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gcn", "gin", "gat"])
def test_what_is_not_forbidden_is_executed(kind: str, task: GraphTask) -> None:
    evaluator = evaluator_of(kind, task)
    count, most = len(evaluator.components), BITS[-1]
    forbidden = evaluator.forbidden
    assert forbidden
    with pytest.raises(SumOverflowError, match="neighbours of node 0"):
        evaluator.evaluate([[most] * count])
    # The most bits that each choice of one component for each combination leaves.
    for lowered in itertools.product(*(each.components for each in forbidden)):
        allocation = tuple(4 if at in lowered else most for at in range(count))
        assert allowed(forbidden, allocation)
        (evaluation,) = evaluator.evaluate([allocation])
        assert evaluation.reduction > 1


@pytest.mark.slow
def test_layers_without_coefficients_have_no_limit_here(task: GraphTask) -> None:
    evaluator = evaluator_of("sage", task)
    assert evaluator.forbidden == ()
    assert evaluator.evaluate([[8] * len(evaluator.components)])


def test_graphs_without_hubs_forbid_nothing() -> None:
    evaluator = evaluator_of("gcn", star_task(500))
    assert evaluator.forbidden == ()


def test_the_hub_of_any_split_counts() -> None:
    task = star_task(40_000)
    nodes = torch.arange(3)
    graphs = replace(
        task,
        x=torch.cat([task.x, torch.ones(6, 2)]),
        edge_index=torch.cat([task.edge_index, 40_000 + torch.stack([nodes, nodes])], dim=1),
        y=torch.tensor([0, 1, 0]),
        masks={split: torch.arange(3) == at for at, split in enumerate(("test", "train", "validation"))},
        batch=torch.cat([torch.zeros(40_000, dtype=torch.int64), torch.tensor([1, 1, 1, 2, 2, 2])]),
    )
    evaluator = evaluator_of("gcn", graphs)
    assert {each.bit_widths for each in evaluator.forbidden} == {(8, 8)}


@pytest.mark.slow
def test_a_supernet_of_a_hub_is_trained_and_evaluated() -> None:
    task = star_task()
    model = mixq_rl.build_model("gcn", task, hidden_channels=4)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=BITS, epochs=1)
    allocation = [4 if component.kind == "adjacency" else 8 for component in evaluator.components]
    assert allowed(evaluator.forbidden, tuple(allocation))
    assert evaluator.evaluate([allocation])


def test_a_network_that_no_bit_width_could_execute_is_refused_at_calibration() -> None:
    task = star_task()
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    with pytest.raises(SumOverflowError, match="neighbours of node 0"):
        mixq_rl.PostTrainingEvaluator(model, task, bit_widths=(8,))


def test_an_input_too_wide_for_8_bits_forbids_them_together() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 70_000, generator=generator)
    edges = torch.stack([torch.arange(12), torch.arange(12).roll(1)])
    masks = {split: torch.arange(12) % 3 == at for at, split in enumerate(("train", "validation", "test"))}
    task = GraphTask("wide", x, edges, torch.arange(12) % 2, masks)
    model = mixq_rl.build_model("sage", task, hidden_channels=2)
    with torch.no_grad():
        for layer in (model.layers[1].linear, model.layers[1].root):
            layer.weight.fill_(1)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=BITS)
    names = [component.name for component in evaluator.components]
    assert {(tuple(names[at] for at in each.components), each.bit_widths) for each in evaluator.forbidden} == {
        (("conv1.input", "conv1.weight"), (8, 8)),
        (("conv1.input", "conv1.root_weight"), (8, 8)),
    }
