"""A search that can go on where it was."""

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
    """Something whose state goes into a checkpoint."""

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> Any: ...


class ResumableSearch:
    """Keeps an agent and those who watch it after each step of a search, and brings them back there.

    Args:
        folder: of the checkpoints.
        identity: of what is searched: the evaluators' fingerprints.

    Attributes:
        step: where the search is: of the newest checkpoint that is whole; 0 if there is none.

    Raises:
        ArtifactError: if the checkpoint is of a search of something else.
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
        """Return the state of one of those who watch, by its name in :meth:`learn`; None if the search begins."""
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
        """Let an agent learn from so many episodes, those before the checkpoint counted in.

        Args:
            agent: as it was when the search began.
            episodes: of each task, in all.
            watched_by: what else has a state, by name.
            step: says where the search is, for the names of checkpoints.
            watcher, logger: as of :meth:`~mixq_rl.agents.PPOAgent.learn`.
        """
        if self._state is not None:
            agent.load_state_dict(self._state["agent"])
            for name, part in watched_by.items():
                part.load_state_dict(self._state[name])

        def keep() -> None:
            parts = {name: part.state_dict() for name, part in watched_by.items()}
            self._checkpoints.save(step(), {"identity": self._identity, "agent": agent.state_dict(), **parts})

        remaining = episodes if self._state is None else None
        agent.learn(remaining, watcher=watcher, logger=logger, checkpoint=keep)
