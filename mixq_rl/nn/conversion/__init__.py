"""From a float model to the nodes of a quantizable one: tracing, then one converter for each layer and function."""

from mixq_rl.nn.conversion.convert import convert
from mixq_rl.nn.conversion.tracing import trace

__all__ = ["convert", "trace"]
