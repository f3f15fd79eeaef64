"""Evaluators, which measure allocations by execution on integers.

The protocol is in :mod:`mixq_rl.evaluation.protocol`. Import each name from the module that defines it.
"""
