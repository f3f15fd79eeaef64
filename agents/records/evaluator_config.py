"""What is searched: a network, the data it is for, and how its allocations are judged."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from mixq_rl.datasets import GraphTask, datasets, load_task
from mixq_rl.datasets.file import SUFFIXES
from mixq_rl.devices import full_name
from mixq_rl.errors import InputError
from mixq_rl.evaluation.evaluators import NetworkEvaluator, evaluators
from mixq_rl.evaluation.objective import objectives
from mixq_rl.nn import QuantizableModel, build_model, models
from mixq_rl.quantization import check_bit_widths, schemes
from mixq_rl.training.cache import Preparation, PreparationCache, load_state
from mixq_rl.training.float_training import fit
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork, restore_prepared

__all__ = ["EvaluatorConfig", "Stage", "silent"]

Stage = Callable[[str, str], AbstractContextManager[Progress]]
"""Called with what a stage does and the unit it counts; gives what is to be told of its progress, if it counts."""

_logger = logging.getLogger("mixq_rl")

_DATASET = (
    f"{', '.join(datasets)}; tu:NAME for another of TUDataset; or a path to your own graph or graphs (.npz, or .pt "
    "holding tensors)."
)
_FOLD = (
    "Which of a dataset's splits, from 0, where it has several: of TUDataset, Chameleon, Squirrel and your own graphs "
    "10, of CSL 5."
)
_OBJECTIVE = (
    "What is to be saved: bit operations, or time. Time is measured on this machine under its present load, so that "
    "two runs of one seed differ."
)
_EVALUATOR = (
    "Whose weights the search judges an allocation by. supernet: one network's, trained once for all of them. "
    "fine-tune: its own, fine-tuned for a few epochs, which is slow. post-training: those of float32."
)
_SCHEME = (
    "Where scales come from. lsq: learned. a2q: several learned for a component, of which each node takes the nearest. "
    "The others follow the values in training, degree-quant with nodes protected by their degree."
)
_DEVICE = "Where networks are trained and executed: cpu, cuda, cuda:1, or auto: a GPU if torch sees one."


@contextmanager
def silent(what: str, unit: str) -> Iterator[Progress]:
    """A stage that shows nothing."""
    yield lambda done, total: None


@dataclass(frozen=True, kw_only=True)
class EvaluatorConfig:
    """What makes an evaluator: two of one configuration on one machine are equal, unless time is the objective.

    A field with ``help`` in its metadata is an option of the commands (:mod:`mixq_rl.agents.cli.fields`), and stands in
    ``config.json`` and in the report by the same name.

    Attributes:
        dataset: a name of :func:`mixq_rl.load_task`, or a path.
        fold: which of the dataset's splits, from 0, where it has several; None: the first.
        model: a name of :func:`mixq_rl.build_model`.
        bits: the bit-widths on offer, each within 1...8.
        seed: of weights, training, search and fine-tuning.
        data_root: folder of the datasets' files.
        num_layers: number of layers; None: what is usual.
        hidden_channels: width of the hidden layers; None: what is usual for the model and the kind of task.
        objective: a name of :data:`mixq_rl.evaluation.objective.objectives`: what is saved.
        evaluator: a name of :data:`mixq_rl.evaluation.evaluators.evaluators`: the weights that evaluate an allocation.
        scheme: a name of :data:`mixq_rl.quantization.schemes`: where scales come from.
        device: of data, networks, training and execution, as :func:`~mixq_rl.devices.resolve_device` names it; it need
            not be there until the data are loaded. ``"auto"`` becomes what it stands for here.

    Raises:
        InputError: for a value out of bounds, or an unknown model, objective, evaluator, scheme or device.
    """

    dataset: str = field(default="citation", metadata={"help": _DATASET, "completion": datasets})
    fold: int | None = field(default=None, metadata={"help": _FOLD, "show_default": "the first"})
    model: str = field(default="gcn", metadata={"help": f"{', '.join(models)}.", "completion": models})
    bits: tuple[int, ...] = field(default=(2, 4, 8), metadata={"help": "Bit-widths on offer, each within 1...8."})
    seed: int = field(default=0, metadata={"help": "Of weights, training, search and fine-tuning."})
    data_root: str = field(
        default="data", metadata={"help": "Folder of the datasets' files.", "envvar": "MIXQ_RL_DATA"}
    )
    num_layers: int | None = field(
        default=None,
        metadata={
            "help": "Number of graph layers.",
            "names": ("--num-layers", "--layers"),
            "show_default": "2 to classify nodes; 4, of a gin 5, to classify graphs",
        },
    )
    hidden_channels: int | None = field(
        default=None,
        metadata={"help": "Width of the hidden layers.", "show_default": "64 or 128, as is usual for the model"},
    )
    objective: str = field(
        default="bitops",
        metadata={"help": _OBJECTIVE, "metavar": f"<{'|'.join(objectives)}>", "completion": objectives},
    )
    evaluator: str = field(
        default="supernet",
        metadata={"help": _EVALUATOR, "metavar": f"<{'|'.join(evaluators)}>", "completion": evaluators},
    )
    scheme: str = field(
        default="lsq", metadata={"help": _SCHEME, "metavar": f"<{'|'.join(schemes)}>", "completion": schemes}
    )
    device: str = field(default="auto", metadata={"help": _DEVICE, "completion": ("auto", "cpu", "cuda")})

    _PATHS: ClassVar[tuple[str, ...]] = ("dataset", "data_root")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed} is outside 0...{2**32 - 1}")
        models[self.model], objectives[self.objective], evaluators[self.evaluator], schemes[self.scheme]
        object.__setattr__(self, "bits", check_bit_widths(self.bits))
        object.__setattr__(self, "device", full_name(self.device))

    def seen_from(self, directory: Path) -> Self:
        """Return the same with absolute paths: relative ones lead from a directory, if they lead anywhere from there.

        Args:
            directory: in which the configuration was written down.
        """
        names = [name for name in self._PATHS if name != "dataset" or Path(self.dataset).suffix.lower() in SUFFIXES]
        places = {name: directory / getattr(self, name) for name in names if getattr(self, name)}
        found: dict[str, Any] = {name: str(place.resolve()) for name, place in places.items() if place.exists()}
        return replace(self, **found)

    def title(self, dataset: str) -> str:
        """Return a title that tells the configuration from others: model, dataset, and values that are not defaults.

        Args:
            dataset: its name.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(EvaluatorConfig)
            if field.name not in ("dataset", "model", "device", *self._PATHS)
            and getattr(self, field.name) != field.default
        }
        texts = (
            f"{name.replace('_', ' ')} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in changed.items()
        )
        return " ".join([f"{self.model} on {dataset}", *texts])

    def load(self) -> tuple[GraphTask, QuantizableModel]:
        """Load the dataset and build the network for it, untrained, on the device.

        Raises:
            InputError: for a device that is not there, or data that are not what they should be.
        """
        task = load_task(self.dataset, self.data_root, fold=self.fold, device=self.device)
        model = build_model(
            self.model, task, hidden_channels=self.hidden_channels, num_layers=self.num_layers, seed=self.seed
        )
        return task, model

    def prepare(
        self, task: GraphTask, model: QuantizableModel, stage: Stage = silent, cache: PreparationCache | None = None
    ) -> NetworkEvaluator:
        """Train the network in float32, in place, and return the evaluator of its allocations.

        Args:
            task: as of :meth:`load`.
            model: untrained, as of :meth:`load`.
            stage: told of each long stage.
            cache: has what was prepared before, and keeps what is prepared now; None: everything is trained.

        Raises:
            InputError: if the cache cannot be written, as far as that shows before the training.
        """
        if cache is None:
            return self._train(task, model, stage)
        key = cache.key(
            model,
            task,
            evaluator=evaluators[self.evaluator],
            bit_widths=self.bits,
            scheme=schemes[self.scheme],
            seed=self.seed,
        )
        known = cache.get(key)
        if known is not None:
            with stage("loading what was prepared", ""):
                return self._restore(task, model, known)
        cache.open()
        evaluator = self._train(task, model, stage)
        try:
            cache.put(key, Preparation(model.state_dict(), evaluator.model.state_dict()))
        except InputError as error:  # a run does without it, and is not to be lost for it
            _logger.warning("%s; what was trained is not kept for other runs", error)
        return evaluator

    def _train(self, task: GraphTask, model: QuantizableModel, stage: Stage) -> NetworkEvaluator:
        with stage("training in float32", "epochs") as progress:
            fit(model, task, seed=self.seed, progress=progress)
        kind, scheme = evaluators[self.evaluator], schemes[self.scheme]
        with stage(kind.preparation, "epochs") as progress:
            prepared = kind.prepare(model, task, self.bits, scheme=scheme, seed=self.seed, progress=progress)
        return self._evaluator(prepared)

    def _restore(self, task: GraphTask, model: QuantizableModel, known: Preparation) -> NetworkEvaluator:
        load_state(model, known.float_state)
        model.eval()
        prepared = restore_prepared(model, task, self.bits, known.evaluator_state, scheme=schemes[self.scheme])
        model.components = prepared.components
        return self._evaluator(prepared)

    def _evaluator(self, prepared: PreparedNetwork) -> NetworkEvaluator:
        repeats = objectives[self.objective].timing_repeats
        return evaluators[self.evaluator].of(prepared, seed=self.seed, timing_repeats=repeats)
