"""Evaluations of a run's search, read from its store."""

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.prepared_evaluator import opened
from mixq_rl.agents.records.result import RunResult
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["searched"]


def searched(folder: RunFolder, result: RunResult) -> list[Evaluation]:
    """Return all evaluations of a run's search, in the order in which they were made.

    Raises:
        ArtifactError: if the store is missing or damaged, or holds no evaluation of this run.
    """
    if not folder.evaluations.is_file():
        raise ArtifactError(f"{folder.evaluations} is missing: it holds the evaluations of the search")
    with opened(folder.evaluations, read_only=True) as store:
        known = [key for key, problem in store.evaluators().items() if problem.components == result.components]
        # A resumed run may have described several problems: it ended with the last one.
        found = [*store.evaluations(known[-1]).values()] if known else []
    if not found:
        raise ArtifactError(f"{folder.evaluations} holds no evaluation of this run")
    return found
