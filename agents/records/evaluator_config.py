"""Configuration of an evaluator: dataset, network, and how allocations are evaluated."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from mixq_rl.datasets import GraphTask, datasets, load_task
from mixq_rl.datasets.file import SUFFIXES
from mixq_rl.datasets.imbalance import imbalance_warning
from mixq_rl.datasets.metrics import metrics
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
"""Called with the title of a stage and the unit of its progress; the context gives the function to report progress."""

_logger = logging.getLogger("mixq_rl")

_DATASET = (
    f"Dataset: {', '.join(datasets)}; tu:NAME for any other dataset of TUDataset; or the path of a file with your own "
    "graph or graphs (.npz, or .pt with a dictionary of tensors)."
)
_FOLD = (
    "Number of the split, from 0, for datasets with several splits: TUDataset, Chameleon, Squirrel and files with "
    "several graphs have 10, CSL has 5."
)
_METRIC = (
    "Measure that selects networks, in points of 100. accuracy, balanced-accuracy: for one class a node or graph. "
    "roc-auc: one class against the others, mean; with several labels, mean of the labels."
)
_OBJECTIVE = (
    "The cost to save: bit operations or time. Time is measured on this machine under its present load, so that two "
    "runs with the same seed differ."
)
_EVALUATOR = (
    "Weights with which the search evaluates an allocation. supernet: weights trained once for all allocations. "
    "fine-tune: weights fine-tuned for each allocation for a few epochs, which is slow. post-training: the float32 "
    "weights."
)
_SCHEME = (
    "How scales are found. lsq: learned. a2q: several learned scales for each component, of which each node takes the "
    "nearest. The others are observed in training; degree-quant protects nodes by their degree."
)
_DEVICE = "Device of training and execution: cpu, cuda, cuda:1, or auto for a GPU if torch sees one."


@contextmanager
def silent(what: str, unit: str) -> Iterator[Progress]:
    """Stage that shows nothing."""
    yield lambda done, total: None


@dataclass(frozen=True, kw_only=True)
class EvaluatorConfig:
    """Configuration of an evaluator.

    On one machine equal configurations give equal evaluators, unless time is the objective. A field with ``help`` in
    its metadata is an option of the commands (:mod:`mixq_rl.agents.cli.fields`), and has the same name in
    ``config.json`` and in the report.

    Attributes:
        dataset: name of a dataset of :func:`mixq_rl.load_task`, or path of a file.
        fold: number of the split, from 0, for datasets with several splits; None: the first.
        model: name of a model of :func:`mixq_rl.build_model`.
        metric: name in :data:`mixq_rl.datasets.metrics.metrics`; None: that of the dataset.
        bits: bit-widths on offer, each within 1...8.
        seed: seed of weights, training, search and fine-tuning.
        data_root: folder of the datasets' files.
        num_layers: number of layers; None: the default of the model and the kind of task.
        hidden_channels: width of the hidden layers; None: the default of the model and the kind of task.
        objective: name in :data:`mixq_rl.evaluation.objective.objectives`; the cost to save.
        evaluator: name in :data:`mixq_rl.evaluation.evaluators.evaluators`; it gives the weights used in the search.
        scheme: name in :data:`mixq_rl.quantization.schemes`; it determines how scales are found.
        device: device of data, networks, training and execution, named as in
            :func:`~mixq_rl.devices.resolve_device`. It need not exist until :meth:`load`. ``"auto"`` is replaced by
            the device that it stands for.

    Raises:
        InputError: for a value out of bounds, or an unknown model, objective, evaluator, scheme or device.
    """

    dataset: str = field(default="citation", metadata={"help": _DATASET, "completion": datasets})
    fold: int | None = field(default=None, metadata={"help": _FOLD, "show_default": "the first"})
    model: str = field(default="gcn", metadata={"help": f"Network: {', '.join(models)}.", "completion": models})
    metric: str | None = field(
        default=None,
        metadata={
            "help": _METRIC,
            "metavar": f"<{'|'.join(metrics)}>",
            "completion": metrics,
            "show_default": "that of the dataset",
        },
    )
    bits: tuple[int, ...] = field(default=(2, 4, 8), metadata={"help": "Bit-widths on offer, each within 1...8."})
    seed: int = field(default=0, metadata={"help": "Seed of weights, training, search and fine-tuning."})
    data_root: str = field(
        default="data", metadata={"help": "Folder of the datasets' files.", "envvar": "MIXQ_RL_DATA"}
    )
    num_layers: int | None = field(
        default=None,
        metadata={
            "help": "Number of graph layers.",
            "names": ("--num-layers", "--layers"),
            "show_default": "2 to classify nodes; 4 to classify graphs, 5 for gin",
        },
    )
    hidden_channels: int | None = field(
        default=None,
        metadata={"help": "Width of the hidden layers.", "show_default": "64 or 128, depending on the model"},
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
        if self.metric is not None:
            metrics[self.metric]
        object.__setattr__(self, "bits", check_bit_widths(self.bits))
        object.__setattr__(self, "device", full_name(self.device))

    def seen_from(self, directory: Path) -> Self:
        """Return a copy with absolute paths: each relative path that exists below ``directory`` is resolved.

        Args:
            directory: working directory of the process that wrote the configuration.
        """
        names = [name for name in self._PATHS if name != "dataset" or Path(self.dataset).suffix.lower() in SUFFIXES]
        places = {name: directory / getattr(self, name) for name in names if getattr(self, name)}
        found: dict[str, Any] = {name: str(place.resolve()) for name, place in places.items() if place.exists()}
        return replace(self, **found)

    def title(self, dataset: str) -> str:
        """Return a title of the configuration: model, dataset, and the values that are not defaults.

        Args:
            dataset: name of the dataset in the title.
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
            InputError: for a device that does not exist, or a dataset that cannot be loaded.
        """
        task = load_task(self.dataset, self.data_root, fold=self.fold, metric=self.metric, device=self.device)
        model = build_model(
            self.model, task, hidden_channels=self.hidden_channels, num_layers=self.num_layers, seed=self.seed
        )
        return task, model

    def prepare(
        self, task: GraphTask, model: QuantizableModel, stage: Stage = silent, cache: PreparationCache | None = None
    ) -> NetworkEvaluator:
        """Train the network in float32, in place, and return the evaluator of its allocations.

        Args:
            task: task of :meth:`load`.
            model: untrained model of :meth:`load`.
            stage: reports each long stage.
            cache: cache of prepared networks, which is read and written; None: everything is trained.

        Raises:
            InputError: if the cache folder cannot be written. This is checked before the training.
        """
        warning = imbalance_warning(task)
        if warning is not None:
            _logger.warning(warning)
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
        except InputError as error:  # the run continues: it does not need the cache
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
