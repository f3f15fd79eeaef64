"""The networks that can be built by name."""

from typing import Any

from torch import Tensor, nn

from mixq_rl.adjacency import Adjacency
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn.gcn import GCNConv, IntegerGCNConv
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.quantization import Quantizer
from mixq_rl.randomness import seeded
from mixq_rl.registry import Registry
from mixq_rl.sparse import SparseMatrix, dropout

__all__ = ["GCN", "build_model", "models"]

models: Registry[type["GCN"]] = Registry("model")


@models.register("gcn")
class GCN(QuantizableModel):
    """Graph convolutions with ReLU between them, dropout before each.

    Args:
        in_channels: node features.
        hidden_channels: width of the hidden layers.
        out_channels: classes.
        num_layers: at least 1.
        dropout: probability, in training only.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, *, num_layers: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if num_layers < 1 or hidden_channels < 1:
            raise InputError(f"a GCN of {num_layers} layers of width {hidden_channels}: both must be at least 1")
        self.dropout = dropout
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        self.convs = nn.ModuleList(
            GCNConv(
                width,
                widths[index + 1],
                name=f"conv{index + 1}",
                source=f"conv{index}.aggregate" if index else None,
                relu=index < num_layers - 1,
            )
            for index, width in enumerate(widths[:-1])
        )

    def reset_parameters(self) -> None:
        for conv in self._layers():
            conv.reset_parameters()

    def _layers(self) -> list[GCNConv]:
        return [conv for conv in self.convs if isinstance(conv, GCNConv)]

    def prepare_graph(self, edge_index: Tensor, num_nodes: int) -> Adjacency:
        return Adjacency.gcn(edge_index, num_nodes)

    def float_forward(self, x: Tensor | SparseMatrix, adjacency: Adjacency) -> Tensor:
        for conv in self.convs:
            x = conv(dropout(x, self.dropout, self.training), adjacency)
        assert isinstance(x, Tensor)
        return x

    def fake_quantized_forward(self, x: Tensor | SparseMatrix, adjacency: Adjacency) -> Tensor:
        layers = self._layers()
        hidden = layers[0].quantizer("input").fake_quantize(x)
        for conv in layers:
            hidden = conv.fake_quantized_forward(hidden.dropout(self.dropout, self.training), adjacency)
        return hidden.to_real()

    def check_sums(self, graph: Adjacency) -> None:
        for conv in self._layers():
            conv.check_sums(graph)

    def freeze_layers(self) -> tuple[Quantizer, tuple[IntegerGCNConv, ...]]:
        layers = self._layers()
        source = layers[0].quantizer("input").quantizer()
        frozen = []
        for conv in layers:
            conv_input, source = source, conv.quantizer("aggregate").quantizer()
            frozen.append(conv.freeze(conv_input))
        return layers[0].quantizer("input").quantizer(), tuple(frozen)


def build_model(
    name: str, task: GraphTask, *, hidden_channels: int = 128, num_layers: int = 2, seed: int = 0, **options: Any
) -> QuantizableModel:
    """Build a quantizable network for a task, with fresh weights drawn from ``seed``.

    Args:
        name: ``"gcn"``.
        task: gives the numbers of features and classes, and the graph on which the components are first measured.
        hidden_channels: width of the hidden layers.
        num_layers: at least 1.
        seed: of the weights.
        options: further ones of the network, for example ``dropout``.

    Raises:
        UnknownNameError: listing the known names.
    """
    with seeded(seed):
        model = models[name](task.num_features, hidden_channels, task.num_classes, num_layers=num_layers, **options)
    model.observe(task.x, task.edge_index)
    return model
