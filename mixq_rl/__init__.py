"""Integer graph neural networks with a bit-width for every component, found by reinforcement learning.

``mixq_rl`` exports the engine. ``mixq_rl.envs`` (the Gymnasium environment) and ``mixq_rl.agents`` (training, command
line, and :func:`~mixq_rl.agents.allocate`) are imported on first use, so that the engine needs neither Gymnasium nor
Stable-Baselines3.
"""

import importlib
from typing import Any

from mixq_rl import startup

startup.importing()  # before torch is imported

from mixq_rl import kernels
from mixq_rl.datasets import GraphTask, load_task
from mixq_rl.datasets.graph_folder import GraphFolder, save_graph
from mixq_rl.evaluation.evaluators import FineTuneEvaluator, PostTrainingEvaluator, SupernetEvaluator, evaluators
from mixq_rl.evaluation.ledger import BudgetSpent, Ledger
from mixq_rl.evaluation.objective import Objective, objectives
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from mixq_rl.evaluation.store import EvaluationStore
from mixq_rl.graph import Graph
from mixq_rl.integer.model import IntegerModel
from mixq_rl.integer.program import export_program
from mixq_rl.integer.size import ModelSize
from mixq_rl.integer.streaming import stream
from mixq_rl.metering import OpMeter
from mixq_rl.nn import Component, QuantizableModel, build_model, load_model, prepare
from mixq_rl.training.cache import PreparationCache
from mixq_rl.training.fine_tuning import fine_tune
from mixq_rl.training.float_training import fit
from mixq_rl.training.loop import Schedule
from mixq_rl.training.supernet import fit_supernet
from mixq_rl.version import __version__

__all__ = [
    "BudgetSpent",
    "Component",
    "Evaluation",
    "EvaluationStore",
    "Evaluator",
    "FineTuneEvaluator",
    "Graph",
    "GraphFolder",
    "GraphTask",
    "IntegerModel",
    "Ledger",
    "ModelSize",
    "Objective",
    "OpMeter",
    "PostTrainingEvaluator",
    "PreparationCache",
    "QuantizableModel",
    "Schedule",
    "SupernetEvaluator",
    "__version__",
    "build_model",
    "evaluators",
    "export_program",
    "fine_tune",
    "fit",
    "fit_supernet",
    "kernels",
    "load_model",
    "load_task",
    "objectives",
    "prepare",
    "prepare_supernet",
    "save_graph",
    "stream",
]

_SUBPACKAGES = ("envs", "agents")
_OF_AGENTS = ("allocate",)


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"mixq_rl.{name}")
    if name in _OF_AGENTS:
        return getattr(importlib.import_module("mixq_rl.agents"), name)
    raise AttributeError(f"module 'mixq_rl' has no attribute {name!r}")
