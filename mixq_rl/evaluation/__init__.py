"""Evaluators: what an allocation is worth, by execution on integers.

The protocol is in :mod:`mixq_rl.evaluation.protocol`; modules of the package import names from where they are defined.
"""
