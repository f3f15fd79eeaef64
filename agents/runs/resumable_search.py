"""Search with checkpoints, which can be resumed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from stable_baselines3.common.logger import Logger

from mixq_rl.agents.ppo.agent import PPOAgent, Watcher
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.records.checkpoints import Checkpoints, State
from mixq_rl.errors import ArtifactError

__all__ = ["ResumableSearch", "Stateful"]


class Stateful(Protocol):
    """Object whose state is part of a checkpoint."""

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> Any: ...


class ResumableSearch:
    """Saves the states of an agent and its watchers after each step of a search, and restores them.

    Args:
        folder: folder of the checkpoints.
        identity: fingerprints of the evaluators that are searched.

    Attributes:
        step: step of the newest undamaged checkpoint; 0 if there is none.

    Raises:
        ArtifactError: if the checkpoint belongs to a search of other evaluators.
    """

    def __init__(self, folder: Path, identity: Sequence[str]) -> None:
        self._checkpoints = Checkpoints(folder, warn=logger.warning)
        self._identity = list(identity)
        latest = self._checkpoints.latest()
        self.step = 0 if latest is None else latest[0]
        self._state: State | None = None if latest is None else latest[1]
        if self._state is not None and self._state.get("identity") != self._identity:
            raise ArtifactError(
                f"the checkpoints in {folder} are of a search of other networks than those prepared now: the data, the "
                "versions of packages or the number of threads have changed; begin a new run"
            )

    def saved(self, name: str) -> State | None:
        """Return the saved state of a watcher, by its name in :meth:`learn`; None if there is no checkpoint."""
        return None if self._state is None else self._state[name]

    def learn(
        self,
        agent: PPOAgent,
        episodes: int,
        watched_by: Mapping[str, Stateful],
        *,
        step: Callable[[], int],
        watcher: Watcher | None = None,
        logger: Logger | None = None,
    ) -> None:
        """Let an agent learn, from the checkpoint on if there is one.

        Args:
            agent: a new agent, made with the same arguments as the agent of the checkpoint.
            episodes: number of episodes of each task, including those before the checkpoint.
            watched_by: other objects whose states are saved and restored, by name.
            step: returns the step of the search, which becomes the name of a checkpoint.
            watcher, logger: as in :meth:`~mixq_rl.agents.PPOAgent.learn`.

        Raises:
            ArtifactError: if the checkpoint does not fit the agent or a watcher.
        """
        if self._state is not None:
            self._restore(self._state, {"agent": agent, **watched_by})

        def keep() -> None:
            parts = {name: part.state_dict() for name, part in watched_by.items()}
            self._checkpoints.save(step(), {"identity": self._identity, "agent": agent.state_dict(), **parts})

        remaining = episodes if self._state is None else None
        agent.learn(remaining, watcher=watcher, logger=logger, checkpoint=keep)

    def _restore(self, state: State, parts: Mapping[str, Stateful]) -> None:
        for name, part in parts.items():
            try:
                part.load_state_dict(state[name])
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                place = f"checkpoint {self.step} of {self._checkpoints.path}"
                raise ArtifactError(
                    f"{place} does not fit this run ({name}: {str(error) or error!r}): remove it to go on from the one "
                    "before it, or begin a new run"
                ) from error
