"""What could replace layers that cannot be converted."""

from torch import nn

from mixq_rl.errors import UnsupportedLayerError

__all__ = ["LOGITS", "REPLACEMENTS", "explained"]

LOGITS = "return the logits, the greatest of which names the class"
"""Remedy in the error for a softmax."""

_NORM = "use BatchNorm, whose statistics are known before execution, or LayerNorm of each node (mode='node')"
_ATTENTION = "use GATConv or GATv2Conv"
_GATES = "its gates multiply values by each other; use GraphConv or GATv2Conv"
_POWERS = "use TAGConv, SGConv or APPNP"
_EDGE_FEATURES = "edges have one weight and no features here; use GraphConv with edge weights, or GINConv"
_KINDS = (
    "nodes and edges are of one kind here; merge them by data.to_homogeneous(), encode the kinds in x, and "
    "use SAGEConv, GraphConv or GATConv"
)
_POINTS = "the graph is given here, not found by distances; use GraphConv or SAGEConv on its edges"
_POOLING = "use mean, sum or max pooling"

REPLACEMENTS: dict[str, str] = {
    **dict.fromkeys(("GraphNorm", "InstanceNorm", "InstanceNorm1d", "PairNorm", "GraphSizeNorm"), _NORM),
    **dict.fromkeys(("MessageNorm", "DiffGroupNorm", "MeanSubtractionNorm", "GroupNorm", "RMSNorm"), _NORM),
    "SyncBatchNorm": _NORM,
    "Embedding": "use Linear on one-hot columns of x, or put the rows of the embedding into x",
    **dict.fromkeys(("Softmax", "LogSoftmax"), LOGITS),
    **dict.fromkeys(("PReLU", "RReLU"), "use LeakyReLU"),
    **dict.fromkeys(("Dropout1d", "AlphaDropout", "FeatureAlphaDropout"), "use Dropout"),
    **dict.fromkeys(("TransformerConv", "SuperGATConv", "AGNNConv", "FAConv", "GPSConv"), _ATTENTION),
    **dict.fromkeys(("FusedGATConv", "CuGraphGATConv", "DenseGATConv"), "use GATConv"),
    **dict.fromkeys(("CuGraphSAGEConv", "DenseSAGEConv"), "use SAGEConv"),
    "DenseGCNConv": "use GCNConv",
    "DenseGINConv": "use GINConv",
    "DenseGraphConv": "use GraphConv",
    **dict.fromkeys(("GatedGraphConv", "ResGatedGraphConv", "FiLMConv", "DNAConv", "AntiSymmetricConv"), _GATES),
    **dict.fromkeys(("ChebConv", "SSGConv", "ARMAConv", "MixHopConv", "PANConv"), _POWERS),
    "GCN2Conv": "use APPNP, or GCNConv and + x",
    "LGConv": "use APPNP with K=1, alpha=0 and add_self_loops=False, which computes the same",
    "SimpleConv": "use APPNP with K=1, alpha=0 and normalize=False, which computes the same as a sum",
    **dict.fromkeys(("GINEConv", "NNConv", "CGConv", "GENConv", "GMMConv", "SplineConv", "PDNConv"), _EDGE_FEATURES),
    **dict.fromkeys(("EdgeConv", "MeshCNNConv"), "use GraphConv or SAGEConv with aggr='max'"),
    **dict.fromkeys(
        ("PNAConv", "EGConv", "GeneralConv", "MultiAggregation"),
        "use several SAGEConv, one for each aggregation, and torch.cat",
    ),
    **dict.fromkeys(("LEConv", "MFConv", "DirGNNConv", "SignedConv", "HypergraphConv", "FeaStConv"), "use GraphConv"),
    **dict.fromkeys(("WLConv", "WLConvContinuous"), "use GINConv"),
    **dict.fromkeys(("RGCNConv", "FastRGCNConv", "CuGraphRGCNConv", "RGATConv", "HGTConv", "HEATConv"), _KINDS),
    **dict.fromkeys(("HANConv", "HeteroConv", "HeteroLinear", "HeteroDictLinear", "HeteroBatchNorm"), _KINDS),
    **dict.fromkeys(("HeteroLayerNorm", "HeteroJumpingKnowledge"), _KINDS),
    **dict.fromkeys(("PointNetConv", "PointTransformerConv", "PointGNNConv", "PPFConv", "XConv"), _POINTS),
    **dict.fromkeys(("DynamicEdgeConv", "GravNetConv"), _POINTS),
    **dict.fromkeys(("LSTM", "GRU"), "use jumping knowledge of mode 'cat' or 'max'"),
    **dict.fromkeys(("SoftmaxAggregation", "AttentionalAggregation", "SortAggregation", "Set2Set"), _POOLING),
    **dict.fromkeys(("TopKPooling", "SAGPooling", "EdgePooling", "ASAPooling", "PANPooling", "MemPooling"), _POOLING),
}
"""What could replace layers that cannot be converted, by their names."""

_OF_OTHER_GRAPHS = {name for name, remedy in REPLACEMENTS.items() if remedy in (_KINDS, _EDGE_FEATURES, _POINTS)}


def explained(error: UnsupportedLayerError, model: nn.Module) -> UnsupportedLayerError:
    """Return the reason why a model cannot be traced: a layer that needs other graphs, by its name, or ``error``.

    The forward of a model with such a layer takes dictionaries, kinds or features of edges, or positions. ``error``
    names only this argument.
    """
    for path, module in model.named_modules():
        name = type(module).__name__
        if name in _OF_OTHER_GRAPHS and type(module).__module__.startswith("torch_geometric."):
            where = f"layer {path!r} ({name})" if path else f"the model ({name})"
            return UnsupportedLayerError(f"{where} is not supported: {REPLACEMENTS[name]}")
    return error
