"""Check of a run's limits before anything is trained."""

from dataclasses import replace

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.evaluators import PostTrainingEvaluator
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import schemes

__all__ = ["check_limits"]


def check_limits(config: EvaluatorConfig, task: GraphTask, model: QuantizableModel, stage: Stage) -> None:
    """Check that the components exist, and that at least one allocation keeps the limits.

    Size and bit operations do not depend on the weights. A copy of the untrained network therefore tells them.

    Args:
        config: configuration of the run.
        task, model: as its ``load`` returned them.
        stage: reports the check, if it takes a network.

    Raises:
        InputError: for components that do not exist, or limits that no allocation keeps.
    """
    constraints = config.constraints
    constraints.allowed([quantizer.name for quantizer in model.quantizers], config.offered)
    limited = isinstance(config, RunConfig) and config.limits_bitops
    if constraints.max_size is None and not limited:
        return
    with stage("checking the limits", ""):
        evaluator = PostTrainingEvaluator(
            model, task, bit_widths=config.offered, scheme=schemes[config.scheme], seed=config.seed
        )
        if isinstance(config, RunConfig):
            constraints = replace(constraints, max_bitops=config.reward(evaluator.reference).max_bitops)
        constraints.resolve(Ledger(evaluator))
