"""Graph problems: what they are, and where they come from."""

from mixq_rl.datasets.catalogue import datasets, load_task
from mixq_rl.datasets.inputs import GraphInputs
from mixq_rl.datasets.questions import Questions, load_questions
from mixq_rl.datasets.task import GraphTask, Split

__all__ = ["GraphInputs", "GraphTask", "Questions", "Split", "datasets", "load_questions", "load_task"]
