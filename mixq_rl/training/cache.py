"""Cache of prepared networks on disk, by a hash of everything that determines them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import Scheme
from mixq_rl.storage.artifacts import load_artifact, save_artifact
from mixq_rl.storage.files import draft_beside
from mixq_rl.storage.hashing import content_hash
from mixq_rl.version import __version__

__all__ = ["Preparation", "PreparationCache", "load_state", "task_tensors"]

_KIND = "preparation"
_VERSION = 7
_FLOAT, _EVALUATOR, _TEACHER = "float/", "evaluator/", "teacher"


def task_tensors(task: GraphTask) -> dict[str, Tensor]:
    """Return all tensors of a task that affect training and evaluation, by name."""
    tensors = {"x": task.x, "edge_index": task.edge_index, "y": task.y}
    tensors |= {f"{split} mask": mask for split, mask in task.masks.items()}
    optional = {"edge_weight": task.edge_weight, "batch": task.batch, "arbitrary_sign": task.arbitrary_sign}
    return tensors | {name: tensor for name, tensor in optional.items() if tensor is not None}


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a stored state into ``model``.

    Raises:
        ArtifactError: for the state of another network. ``model`` does not change.
    """
    own = model.state_dict()
    strange = sorted(own.keys() ^ state.keys()) or [
        name for name, tensor in own.items() if (tensor.shape, tensor.dtype) != (state[name].shape, state[name].dtype)
    ]
    if strange:
        raise ArtifactError(
            f"the state that was kept is not that of this network: {strange[0]!r} is missing, unknown, or of another "
            f"shape or dtype; prepare it anew"
        )
    model.load_state_dict(state)


@dataclass(frozen=True)
class Preparation:
    """States of a prepared network.

    Attributes:
        float_state: ``state_dict`` of the float-trained model.
        evaluator_state: ``state_dict`` of the evaluator's model, which was prepared from the float-trained model.
        teacher: targets of distillation.
    """

    float_state: Mapping[str, Tensor]
    evaluator_state: Mapping[str, Tensor]
    teacher: Tensor


class PreparationCache:
    """Folder of prepared networks, one artifact each, named by a hash of everything that determines the preparation.

    Entries are written atomically, and several processes may share the folder. Entries, or the whole folder, may be
    deleted at any time.

    Args:
        path: path of the folder, which is created when it is first needed.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def open(self) -> None:
        """Create the folder if it does not exist, and check that it can be written, before a long training.

        Raises:
            InputError: for a folder that cannot be written.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            probe = draft_beside(self.path / "probe")
            probe.mkdir()
            probe.rmdir()

    @staticmethod
    def key(
        model: QuantizableModel,
        task: GraphTask,
        *,
        evaluator: type[object],
        bit_widths: Sequence[int],
        scheme: Scheme,
        seed: int = 0,
        epochs: int | None = None,
        origin: Sequence[str | None] = (),
    ) -> str:
        """Return the key of a preparation, 64 hexadecimal digits.

        Args:
            model: untrained model.
            task: task of the model.
            evaluator: class of the evaluator that the model is prepared for.
            bit_widths: bit-widths on offer, ascending.
            scheme: quantization scheme.
            seed: seed of all training.
            epochs: number of epochs of all training; None: the default.
            origin: what else the preparation depends on, such as the hash of the file that made the model.
        """
        description = [
            f"{evaluator.__module__}.{evaluator.__qualname__}",
            str(model),
            [[node.name, *node.sources] for node in model.nodes],
            task.kind,
            task.metric,
            repr(task.mini_batches),
            task.x.device.type,
            list(bit_widths),
            repr(scheme),
            seed,
            epochs,
            list(origin),
            __version__,
            torch.__version__,
        ]
        state = {f"model {name}": tensor for name, tensor in model.state_dict().items()}
        return content_hash(description, state | task_tensors(task))

    def get(self, key: str) -> Preparation | None:
        """Return the preparation with a key; None if there is none or it is damaged."""
        try:
            config, tensors = load_artifact(self.path / key, _KIND, _VERSION)
        except ArtifactError:
            return None
        if config.get("key") != key or _TEACHER not in tensors:
            return None
        return Preparation(_part(tensors, _FLOAT), _part(tensors, _EVALUATOR), tensors[_TEACHER])

    def put(self, key: str, preparation: Preparation) -> None:
        """Store a preparation. An existing undamaged entry is kept.

        Raises:
            InputError: if the folder cannot be written.
        """
        parts = {_FLOAT: preparation.float_state, _EVALUATOR: preparation.evaluator_state}
        # Cloned, because safetensors refuses tensors that share memory, such as tied weights.
        tensors = {
            prefix + name: tensor.detach().cpu().contiguous().clone()
            for prefix, state in parts.items()
            for name, tensor in state.items()
        }
        tensors[_TEACHER] = preparation.teacher.detach().cpu().contiguous().clone()
        self.open()
        draft = draft_beside(self.path / key)
        with self._writing():
            try:
                save_artifact(draft, _KIND, _VERSION, {"key": key}, tensors)
                self._publish(draft, key)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _publish(self, draft: Path, key: str) -> None:
        """Rename a folder to the entry of a key, unless there is an undamaged entry."""
        if self.get(key) is not None:
            return
        damaged = draft_beside(self.path / key)
        with suppress(FileNotFoundError):
            (self.path / key).rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
        try:
            draft.rename(self.path / key)
        except OSError:
            if self.get(key) is None:  # otherwise another process has stored the entry
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"the cache folder {self.path} cannot be written: {reason}") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
