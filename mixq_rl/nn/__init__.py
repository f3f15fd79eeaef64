"""Quantizable layers, one file each, and networks of these layers."""

from mixq_rl.nn.activations import Activation
from mixq_rl.nn.addition import Add
from mixq_rl.nn.appnp import APPNP
from mixq_rl.nn.cluster_gcn import ClusterGCNConv
from mixq_rl.nn.combination import Concatenate, Maximum
from mixq_rl.nn.component import GRAPH_STATISTICS, KINDS, MAX_SQNR, PROBE_BITS, STATISTICS, Component
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.gatv2 import GATv2Conv
from mixq_rl.nn.gcn import GCNConv
from mixq_rl.nn.gin import GINConv
from mixq_rl.nn.graph_conv import GraphConv
from mixq_rl.nn.layer_norm import LayerNorm
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.model_file import load_model
from mixq_rl.nn.models import build_model, build_network, models
from mixq_rl.nn.node import INPUT, Node
from mixq_rl.nn.operator import Chain, Dropout
from mixq_rl.nn.pooling import MaxPool, mean_pool, sum_pool
from mixq_rl.nn.prepare import prepare
from mixq_rl.nn.propagation import Propagate
from mixq_rl.nn.sage import SAGEConv
from mixq_rl.nn.tag import TAGConv

__all__ = [
    "APPNP",
    "GRAPH_STATISTICS",
    "INPUT",
    "KINDS",
    "MAX_SQNR",
    "PROBE_BITS",
    "STATISTICS",
    "Activation",
    "Add",
    "Chain",
    "ClusterGCNConv",
    "Component",
    "Concatenate",
    "Dropout",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GraphConv",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "Maximum",
    "Node",
    "Propagate",
    "QuantizableModel",
    "SAGEConv",
    "TAGConv",
    "build_model",
    "build_network",
    "load_model",
    "mean_pool",
    "models",
    "prepare",
    "sum_pool",
]
