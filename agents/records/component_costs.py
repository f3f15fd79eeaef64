"""Measured costs of the components of an integer network."""

import statistics
from dataclasses import replace

from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.integer.model import IntegerModel
from mixq_rl.metering import ComponentCost, OpMeter

__all__ = ["component_costs"]

_REPEATS = 5


def component_costs(evaluator: IntegerEvaluator, model: IntegerModel) -> dict[str, ComponentCost]:
    """Execute a network on the validation split, and return the cost of each component by name.

    Seconds are medians of five executions after a warm-up, measured on this machine under its present load.

    Args:
        evaluator: evaluator of the network, which has the data.
        model: integer model of the evaluator's network.
    """
    inputs = evaluator.task.inputs("validation")
    features, prepared = model.quantize_features(inputs.x), model.quantize_graph(inputs.graph)
    measured = []
    for _ in range(1 + _REPEATS):
        with OpMeter() as meter:
            model.execute(features, prepared)
        measured.append(meter.by_component())
    first, *warm = measured
    return {
        name: replace(cost, seconds=statistics.median(costs[name].seconds for costs in warm))
        for name, cost in first.items()
    }
