"""Quantizable layers, one file each, and the networks built of them."""

from mixq_rl.adjacency import Adjacency
from mixq_rl.nn.component import KINDS, PROBE_BITS, STATISTICS, Component
from mixq_rl.nn.gcn import GCNConv, IntegerGCNConv
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.models import GCN, build_model, models

__all__ = [
    "GCN",
    "KINDS",
    "PROBE_BITS",
    "STATISTICS",
    "Adjacency",
    "Component",
    "GCNConv",
    "IntegerGCNConv",
    "QuantizableModel",
    "build_model",
    "models",
]
