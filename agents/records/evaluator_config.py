"""Configuration of an evaluator: dataset, network, and how allocations are evaluated."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mixq_rl.agents.records import option_texts
from mixq_rl.agents.records.batch_options import BATCH_SIZE, NUM_NEIGHBORS, batched, check_batches
from mixq_rl.agents.records.constraint_options import bit_widths_of, parse_size
from mixq_rl.agents.records.network import NETWORK, WEIGHTS, check_network, load_network, network_label
from mixq_rl.agents.records.user_files import check_unchanged, digests
from mixq_rl.datasets import GraphTask, datasets, load_task
from mixq_rl.datasets.file import SUFFIXES
from mixq_rl.datasets.inspection import advice
from mixq_rl.datasets.metrics import metrics
from mixq_rl.devices import full_name
from mixq_rl.errors import InputError
from mixq_rl.evaluation.evaluators import NetworkEvaluator, evaluators
from mixq_rl.evaluation.objective import objectives
from mixq_rl.nn import QuantizableModel, models
from mixq_rl.quantization import DEFAULT_BITS, check_bit_widths, schemes
from mixq_rl.training.cache import Preparation, PreparationCache, load_state
from mixq_rl.training.float_training import fit
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork, restore_prepared

if TYPE_CHECKING:
    from mixq_rl.envs import Constraints

__all__ = ["RECORDED", "EvaluatorConfig", "Stage", "silent"]

Stage = Callable[[str, str], AbstractContextManager[Progress]]
"""Called with the title of a stage and the unit of its progress; the context gives the function to report progress."""

RECORDED = ("model_sha256", "weights_sha256")  # fields that a run records, and that are no options

_logger = logging.getLogger("mixq_rl")
_data_logger = _logger.getChild("data")


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
        model: name of a model of :func:`mixq_rl.build_model`, or a class or function in a Python file for
            :func:`mixq_rl.load_model`, which executes the file: ``"net.py:Net"``.
        weights: file with trained weights, as for :func:`mixq_rl.nn.weights.read_weights`; the model is then not
            trained in float32. None: it is trained.
        metric: name in :data:`mixq_rl.datasets.metrics.metrics`; None: that of the dataset.
        bits: bit-widths on offer, each within 1...8.
        pin: components and the bit-width that each has: ``("conv1.weight=8",)``; patterns as in
            :class:`~mixq_rl.envs.Constraints`.
        bits_of: components and the bit-widths that they may have, in place of ``bits``: ``("conv*.adjacency=4,8",)``.
        max_size: greatest size of the network, as :func:`~mixq_rl.agents.records.constraint_options.parse_size` reads.
        seed: seed of weights, training, search and fine-tuning.
        data_root: folder of the datasets' files.
        num_layers: number of layers; None: the default of the model and the kind of task.
        hidden_channels: width of the hidden layers; None: the default of the model and the kind of task.
        batch_size, num_neighbors: as in :func:`~mixq_rl.training.with_mini_batches`, the numbers as a text: ``"10,5"``.
        objective: name in :data:`mixq_rl.evaluation.objective.objectives`; the cost to save.
        evaluator: name in :data:`mixq_rl.evaluation.evaluators.evaluators`; it gives the weights used in the search.
        scheme: name in :data:`mixq_rl.quantization.schemes`; it determines how scales are found.
        device: device of data, networks, training and execution, named as in
            :func:`~mixq_rl.devices.resolve_device`. It need not exist until :meth:`load`. ``"auto"`` is replaced by
            the device that it stands for.
        model_sha256, weights_sha256: hashes of the model's file and the weights, from :meth:`pinned`; None: not known.

    Raises:
        InputError: for a value out of bounds, or an unknown model, objective, evaluator, scheme or device, or sizes for
            a model of a file.
    """

    dataset: str = field(default="citation", metadata={"help": option_texts.DATASET, "completion": datasets})
    fold: int | None = field(default=None, metadata={"help": option_texts.FOLD, "show_default": "the first"})
    model: str = field(default="gcn", metadata={"help": NETWORK, "completion": models})
    weights: str | None = field(default=None, metadata={"help": WEIGHTS})
    metric: str | None = field(
        default=None,
        metadata={
            "help": option_texts.METRIC,
            "metavar": f"<{'|'.join(metrics)}>",
            "completion": metrics,
            "show_default": "that of the dataset",
        },
    )
    bits: tuple[int, ...] = field(default=DEFAULT_BITS, metadata={"help": "Bit-widths on offer, each within 1...8."})
    pin: tuple[str, ...] = field(default=(), metadata={"help": option_texts.PIN, "metavar": "NAME=BITS"})
    bits_of: tuple[str, ...] = field(default=(), metadata={"help": option_texts.BITS_OF, "metavar": "NAME=BITS,BITS"})
    max_size: str | None = field(default=None, metadata={"help": option_texts.MAX_SIZE, "metavar": "SIZE"})
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
    batch_size: int | None = field(default=None, metadata=BATCH_SIZE)
    num_neighbors: str | None = field(default=None, metadata=NUM_NEIGHBORS)
    objective: str = field(
        default="bitops",
        metadata={"help": option_texts.OBJECTIVE, "metavar": f"<{'|'.join(objectives)}>", "completion": objectives},
    )
    evaluator: str = field(
        default="supernet",
        metadata={"help": option_texts.EVALUATOR, "metavar": f"<{'|'.join(evaluators)}>", "completion": evaluators},
    )
    scheme: str = field(
        default="lsq",
        metadata={"help": option_texts.SCHEME, "metavar": f"<{'|'.join(schemes)}>", "completion": schemes},
    )
    device: str = field(default="auto", metadata={"help": option_texts.DEVICE, "completion": ("auto", "cpu", "cuda")})
    model_sha256: str | None = None
    weights_sha256: str | None = None

    _PATHS: ClassVar[tuple[str, ...]] = ("dataset", "data_root")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed} is outside 0...{2**32 - 1}")
        check_network(self.model, self.num_layers, self.hidden_channels)
        check_batches(self.batch_size, self.num_neighbors)
        objectives[self.objective], evaluators[self.evaluator], schemes[self.scheme]
        if self.metric is not None:
            metrics[self.metric]
        object.__setattr__(self, "bits", check_bit_widths(self.bits))
        object.__setattr__(self, "pin", tuple(self.pin))
        object.__setattr__(self, "bits_of", tuple(self.bits_of))
        self.offered, self.max_size is None or parse_size(self.max_size)
        object.__setattr__(self, "device", full_name(self.device))

    @property
    def offered(self) -> tuple[int, ...]:
        """Bit-widths that the evaluator offers: ``bits``, and those that components have by ``pin`` and ``bits_of``."""
        return check_bit_widths([*self.bits, *(bits for _, widths in self._named for bits in widths)])

    @property
    def constraints(self) -> "Constraints":
        """The constraints on allocations."""
        from mixq_rl.envs import Constraints  # here: it needs Gymnasium, which predict and report do without

        bits = None if self.offered == self.bits else self.bits
        return Constraints(self._named, bits, None if self.max_size is None else parse_size(self.max_size))

    @property
    def constrained(self) -> str:
        """The constraints as text: ``"conv1.weight=8, at most 64KB"``; empty without constraints."""
        return ", ".join([*self.pin, *self.bits_of, *([f"at most {self.max_size}"] if self.max_size else [])])

    @property
    def _named(self) -> list[tuple[str, tuple[int, ...]]]:
        return [*bit_widths_of("pin", self.pin, one=True), *bit_widths_of("bits-of", self.bits_of)]

    def seen_from(self, directory: Path) -> Self:
        """Return a copy with absolute paths: each relative path that exists below ``directory`` is resolved.

        Args:
            directory: working directory of the process that wrote the configuration.
        """
        names = [name for name in self._PATHS if name != "dataset" or Path(self.dataset).suffix.lower() in SUFFIXES]
        places = {name: directory / getattr(self, name) for name in names if getattr(self, name)}
        found: dict[str, Any] = {name: str(place.resolve()) for name, place in places.items() if place.exists()}
        return replace(self, **found)

    @property
    def network(self) -> str:
        """Name of the model in titles: that of a file is without its folder."""
        return network_label(self.model)

    def pinned(self) -> Self:
        """Return a copy with the hashes of the model's file and of the weights, which :meth:`load` then requires.

        Raises:
            InputError: if a file cannot be read.
        """
        found: dict[str, Any] = {**digests(self.model, self.weights)}
        return replace(self, **found)

    def title(self, dataset: str) -> str:
        """Return a title of the configuration: model, dataset, and the values that are not defaults.

        Args:
            dataset: name of the dataset in the title.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(EvaluatorConfig)
            if field.name not in ("dataset", "model", "weights", "device", *self._PATHS, *RECORDED)
            and getattr(self, field.name) != field.default
        }
        texts = (
            f"{name.replace('_', ' ')} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in changed.items()
        )
        return " ".join([f"{self.network} on {dataset}", *texts])

    def load(self) -> tuple[GraphTask, QuantizableModel]:
        """Load the dataset and build the network for it, on the device, untrained or with the given weights.

        Raises:
            InputError: for a device that does not exist, a dataset that cannot be loaded, another content of the
                model's file or the weights than :meth:`pinned` found, and as in :func:`mixq_rl.load_model`.
        """
        check_unchanged(self.model, self.weights, {name: getattr(self, name) for name in RECORDED})
        task = load_task(self.dataset, self.data_root, fold=self.fold, metric=self.metric, device=self.device)
        task, network = load_network(
            self.model,
            task,
            weights=self.weights,
            num_layers=self.num_layers,
            hidden_channels=self.hidden_channels,
            seed=self.seed,
        )
        for finding in advice(task, self.offered):
            _data_logger.info("%s: %s", task.name, finding)
        return batched(task, network, self.batch_size, self.num_neighbors), network

    def prepare(
        self, task: GraphTask, model: QuantizableModel, stage: Stage = silent, cache: PreparationCache | None = None
    ) -> NetworkEvaluator:
        """Train the network in float32, in place, unless its weights are given, and return its evaluator.

        Args:
            task: task of :meth:`load`.
            model: model of :meth:`load`.
            stage: reports each long stage.
            cache: cache of prepared networks, which is read and written; None: everything is trained.

        Raises:
            InputError: if the cache folder cannot be written. This is checked before the training.
        """
        if cache is None:
            return self._train(task, model, stage)
        key = cache.key(
            model,
            task,
            evaluator=evaluators[self.evaluator],
            bit_widths=self.offered,
            scheme=schemes[self.scheme],
            seed=self.seed,
            origin=("trained here" if self.weights is None else "trained before", self.model_sha256),
        )
        known = cache.get(key)
        if known is not None:
            with stage("loading what was prepared", ""):
                return self._restore(task, model, known)
        cache.open()
        evaluator = self._train(task, model, stage)
        try:
            cache.put(key, Preparation(model.state_dict(), evaluator.model.state_dict(), evaluator.teacher))
        except InputError as error:  # the run continues: it does not need the cache
            _logger.warning("%s; what was trained is not kept for other runs", error)
        return evaluator

    def _train(self, task: GraphTask, model: QuantizableModel, stage: Stage) -> NetworkEvaluator:
        if self.weights is None:
            with stage("training in float32", "epochs") as progress:
                fit(model, task, seed=self.seed, progress=progress)
        else:
            model.eval()
            _logger.info("float32: the given weights, which are not trained further")
        kind, scheme = evaluators[self.evaluator], schemes[self.scheme]
        with stage(kind.preparation, "epochs") as progress:
            prepared = kind.prepare(model, task, self.offered, scheme=scheme, seed=self.seed, progress=progress)
        return self._evaluator(prepared)

    def _restore(self, task: GraphTask, model: QuantizableModel, known: Preparation) -> NetworkEvaluator:
        load_state(model, known.float_state)
        model.eval()
        prepared = restore_prepared(model, task, self.offered, known, scheme=schemes[self.scheme])
        model.components = prepared.components
        return self._evaluator(prepared)

    def _evaluator(self, prepared: PreparedNetwork) -> NetworkEvaluator:
        repeats = objectives[self.objective].timing_repeats
        return evaluators[self.evaluator].of(prepared, seed=self.seed, timing_repeats=repeats)
