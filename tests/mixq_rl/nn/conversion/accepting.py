"""What holds for every model that is accepted."""

import copy
import inspect

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from mixq_rl import IntegerModel, QuantizableModel
from mixq_rl.evaluation.shared_execution import SharedExecution
from mixq_rl.graph import Graph
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.float_models import CLASSES, assert_integers_agree, random_graph, settled

__all__ = ["FEATURES", "accept"]

FEATURES = 6


def answer(model: nn.Module, x: Tensor, graph: Graph) -> Tensor:
    """What the float model computes, called as its user would call it."""
    parts = {"edge_weight": graph.edge_weight, "edge_attr": graph.edge_weight, "batch": graph.batch}
    data = Data(x=x, edge_index=graph.edge_index, **{name: part for name, part in parts.items() if part is not None})
    names = list(inspect.signature(model.forward).parameters)
    with torch.no_grad():
        if "x" not in names and names[0] in ("data", "g", "graph", "sample", "batch", "b"):
            return model(data)
        extra = {name: part for name, part in parts.items() if part is not None and name in names}
        return model(x, graph.edge_index, **extra)


def accept(
    model: nn.Module, *, graph: Graph | None = None, expected: Tensor | None = None, like: str = "same"
) -> QuantizableModel:
    """Check the float result, integers against fake quantization, a step of training in both arithmetics, and copies.

    Args:
        like: ``"same"``: the float result is the model's; ``"softmax"``: the logits give the model's probabilities.
    """
    graph = random_graph() if graph is None else graph
    x = torch.randn(graph.num_nodes, FEATURES, generator=torch.Generator().manual_seed(1))
    settled(model)
    expected = answer(model, x, graph) if expected is None else expected
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prepared = prepare(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        found = prepared.eval()(x, graph)
    found = functional.log_softmax(found, dim=1) if like == "log_softmax" else found
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert_integers_agree(prepared, x, graph)
    _check_copies(prepared, x, graph)
    _check_training(prepared, x, graph)
    return prepared


def _check_copies(prepared: QuantizableModel, x: Tensor, graph: Graph) -> None:
    model = copy.deepcopy(prepared)
    model.calibrate(x, graph, (4, 8))
    allocation = tuple(8 if index % 2 else 4 for index in range(len(model.quantizers)))
    integer = IntegerModel.freeze(model, allocation)
    expected = integer.execute(integer.quantize_features(x), integer.quantize_graph(graph))
    shared = SharedExecution(model, x, graph)
    assert torch.equal(shared.execute(allocation).output.values, expected.values)
    again = copy.deepcopy(model)
    again.load_state_dict(model.state_dict())
    assert len(list(again.parameters())) == len(list(model.parameters()))


def _check_training(prepared: QuantizableModel, x: Tensor, graph: Graph) -> None:
    model = copy.deepcopy(prepared).train()
    model.calibrate(x, graph, (4,))
    optimizer = torch.optim.Adam((each for each in model.parameters() if each.requires_grad), lr=0.01)
    for allocation in (None, [4] * len(model.quantizers)):
        with model.allocated(allocation):
            for _ in range(2):
                optimizer.zero_grad()
                logits = model(x, graph)
                loss = functional.cross_entropy(logits, torch.arange(logits.shape[0]) % CLASSES)
                loss.backward()
                optimizer.step()
                assert loss.isfinite()
