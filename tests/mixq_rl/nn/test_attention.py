from dataclasses import replace

import pytest
import torch
from torch_geometric.utils import softmax

from mixq_rl import IntegerModel
from mixq_rl.errors import SumOverflowError
from mixq_rl.nn import GATConv
from mixq_rl.nn.attention import Attend
from mixq_rl.nn.logits import AddedScores
from mixq_rl.nn.operator import Real
from mixq_rl.propagation import Propagation
from tests.mixq_rl.nn.networks import FEATURES, calibrated, check_equal, features, make_graph, network, star

NAMES = ("conv.attention", "conv.aggregate")


def operands(nodes: int, heads: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(nodes, heads * channels, generator=generator),
        torch.randn(nodes, 2 * heads, generator=generator),
    )


@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
def test_float_forward_sums_by_the_softmax_of_scores(heads: int, concat: bool) -> None:
    graph = make_graph()
    message, score = operands(graph.num_nodes, heads, 4)
    csr = graph.adjacency(Propagation(self_loops="replace")).csr
    logit = score[:, :heads][csr.col.long()] + score[:, heads:][csr.row]
    attention = softmax(torch.nn.functional.leaky_relu(logit, 0.2), csr.row)
    by_head = message.view(-1, heads, 4)[csr.col.long()] * attention.unsqueeze(2)
    expected = torch.zeros(graph.num_nodes, heads, 4).index_add(0, csr.row, by_head)
    layer = Attend(AddedScores("conv.logit"), heads, concat=concat, names=NAMES)
    got = layer(Real(message, "message"), Real(score, "score"), graph=graph).dense
    torch.testing.assert_close(got, expected.flatten(1) if concat else expected.mean(dim=1))


def test_numerators_pass_through_their_quantizer_before_dropout() -> None:
    graph = make_graph()
    layer = Attend(AddedScores("conv.logit"), 2, concat=True, names=NAMES, dropout=0.9)
    seen: dict[str, torch.Tensor] = {}
    for quantizer in (layer.logits.quantizer, layer.attention_quantizer, layer.aggregate_quantizer):
        quantizer.register_forward_hook(lambda module, inputs, x: seen.__setitem__(module.name, x))
    message, score = operands(graph.num_nodes, 2, 3)
    layer(Real(message, "message"), Real(score, "score"), graph=graph)
    csr = graph.adjacency(Propagation(self_loops="replace")).csr
    index = csr.row.unsqueeze(1).expand(-1, 2)
    greatest = torch.zeros(graph.num_nodes, 2).scatter_reduce(0, index, seen["conv.attention"], "amax")
    assert torch.equal(greatest, torch.ones_like(greatest))
    assert seen["conv.logit"].shape == (csr.col.numel(), 2)


@pytest.mark.parametrize("logit_bits", range(1, 9))
def test_integers_equal_fake_quantization_at_all_bits_of_logits_and_coefficients(logit_bits: int) -> None:
    graph = make_graph()
    model = calibrated(network(GATConv(FEATURES, 3, name="conv", heads=2)), features(graph), graph)
    allocations = [(8, 8, 8, 8, 8, logit_bits, bits, 8) for bits in range(1, 9)]
    check_equal(model, features(graph), graph, allocations)


def test_equal_scores_share_the_coefficient_among_all_neighbours() -> None:
    graph = star(3)
    layer = GATConv(FEATURES, 2, name="conv", bias=False)
    torch.nn.init.zeros_(layer.score.weight)
    x = torch.ones(4, FEATURES)
    model = calibrated(network(layer), x, graph)
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    logits = frozen(x.double(), graph.edge_index)
    with model.evaluating():
        torch.testing.assert_close(logits, model(x.double(), graph), rtol=0.02, atol=0.02)


def test_a_hub_keeps_its_neighbours_at_few_bits() -> None:
    graph = star(1000)
    x = 1 + features(graph)
    layer = GATConv(FEATURES, 4, name="conv")
    torch.nn.init.zeros_(layer.score.weight)  # all neighbours are equal: a coefficient of 2 bits would be 0
    model = calibrated(network(layer), x, graph)
    frozen = IntegerModel.freeze(model, [8, 8, 8, 8, 8, 8, 2, 8])
    logits = frozen(x.double(), graph.edge_index)
    with model.evaluating():
        torch.testing.assert_close(logits[0], model(x.double(), graph)[0], rtol=0.05, atol=0.05)


def test_hubs_beyond_int32_are_refused_at_many_bits_alone() -> None:
    graph, hub = make_graph(), star(140_000)
    model = calibrated(network(GATConv(FEATURES, 2, name="conv")), features(graph), graph)
    check_equal(model, features(hub), hub, [[8, 8, 8, 8, 8, 8, 4, 8]])
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    with pytest.raises(SumOverflowError, match=r"'conv\.aggregate': the sum over the 140001 neighbours of node 0"):
        frozen.quantize_graph(hub)


def test_heads_whose_mean_could_overflow_are_refused() -> None:
    graph = make_graph()
    layer = GATConv(FEATURES, 1, name="conv", heads=1024, concat=False)
    model = calibrated(network(layer), features(graph), graph)
    with pytest.raises(SumOverflowError, match=r"'conv\.aggregate': the sum over 1024 heads may reach \d+, beyond"):
        IntegerModel.freeze(model, [8] * len(model.quantizers)).quantize_graph(graph)


def test_rows_of_heads_that_do_not_begin_at_a_byte_are_told_apart() -> None:
    # 3 columns of 2 bits take 6 bits: the second head begins inside a byte.
    graph = make_graph()
    model = calibrated(network(GATConv(FEATURES, 3, name="conv", heads=2)), features(graph), graph)
    check_equal(model, features(graph), graph, [(8, 8, bits, 8, 8, 8, 8, 8) for bits in range(1, 9)])


def test_frozen_step_takes_messages_and_scores_of_nodes_that_fit_its_heads() -> None:
    graph = make_graph()
    model = calibrated(network(GATConv(FEATURES, 3, name="conv", heads=2)), features(graph), graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    message, score = frozen.signatures[1], frozen.signatures[2]
    attend = frozen.steps[-1]
    assert attend.infer([message, score]).columns == 6
    with pytest.raises(ValueError, match="takes 4 columns, but what comes before has 6"):
        attend.infer([message, message])
    with pytest.raises(ValueError, match=r"multipliers or bias .* do not fit its 4 columns"):
        attend.infer([score, score])
    with pytest.raises(ValueError, match="takes values of nodes, not of graphs"):
        attend.infer([replace(message, pooled=True), score])
    with pytest.raises(ValueError, match="attends to other nodes than itself and its neighbours"):
        replace(attend, propagation=Propagation(self_loops="keep")).infer([message, score])
    with pytest.raises(ValueError, match="splits 7 columns among 2 heads"):
        attend.infer([replace(message, columns=7), score])
