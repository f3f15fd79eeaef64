"""Graph tasks and their datasets."""

from mixq_rl.datasets.catalogue import datasets, load_task
from mixq_rl.datasets.inputs import GraphInputs
from mixq_rl.datasets.mini_batches import MiniBatches
from mixq_rl.datasets.prediction_inputs import PredictionInputs, load_prediction_inputs
from mixq_rl.datasets.task import GraphTask, Split

__all__ = [
    "GraphInputs",
    "GraphTask",
    "MiniBatches",
    "PredictionInputs",
    "Split",
    "datasets",
    "load_prediction_inputs",
    "load_task",
]
