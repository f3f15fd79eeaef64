"""Conversion of float models to quantizable ones: tracing, then one converter for each layer and function."""

from mixq_rl.nn.conversion.convert import convert
from mixq_rl.nn.conversion.originals import copied
from mixq_rl.nn.conversion.replacements import explained
from mixq_rl.nn.conversion.shapes import give_weights
from mixq_rl.nn.conversion.tracing import trace

__all__ = ["convert", "copied", "explained", "give_weights", "trace"]
