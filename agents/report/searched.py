"""What a run's search evaluated, from its store."""

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.records.stored_problem import opened
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["searched"]


def searched(folder: RunFolder, result: RunResult) -> list[Evaluation]:
    """Return all evaluations of a run's search, in the order of their coming.

    Raises:
        ArtifactError: if the store is missing or damaged, or holds none of this run's.
    """
    if not folder.evaluations.is_file():
        raise ArtifactError(f"{folder.evaluations} is missing: without it nothing is known of the search")
    with opened(folder.evaluations) as store:
        known = [key for key, problem in store.problems().items() if problem.components == result.components]
        # The last described is the one that the run ended with.
        found = [*store.evaluations(known[-1]).values()] if known else []
    if not found:
        raise ArtifactError(f"{folder.evaluations} holds no evaluation of this run")
    return found
