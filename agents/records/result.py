"""Result of a run, and its file."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from mixq_rl.agents.records.folder import LABEL
from mixq_rl.datasets.metrics import ACCURACY, Metric, metrics
from mixq_rl.datasets.task import Split
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.evaluation.objective import Objective, objectives
from mixq_rl.evaluation.protocol import GREATEST, Evaluation, check_evaluation
from mixq_rl.metering import FLOAT_BITS, ComponentCost
from mixq_rl.nn import Component
from mixq_rl.quantization import IntegerRange
from mixq_rl.storage.files import replace_file
from mixq_rl.storage.schema import from_plain, read_document

__all__ = ["ComponentShare", "ExpectedChange", "Finalist", "RunResult", "shares_of"]

_FORMAT, _VERSION = "mixq_rl/result", 1


@dataclass(frozen=True)
class Finalist:
    """A network of the final table.

    Attributes:
        label: ``"float32"``, ``"uniform 4"``, ``"agent 3"``.
        evaluation: evaluation on the validation split, after fine-tuning.
        test_accuracy: value of the metric on the test split, in [0, 1].
    """

    label: str
    evaluation: Evaluation
    test_accuracy: float


@dataclass(frozen=True)
class ExpectedChange:
    """Change of the best network's accuracy against float32 to expect on the test split, from validation labels.

    Attributes:
        expected: expected change, in [-1, 1].
        low, high: ends of the 95 % interval.
    """

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class ComponentShare:
    """One component of the best network.

    Attributes:
        name: name of the component: ``"conv1.weight"``.
        kind: kind of the component.
        layer: index of its layer.
        shape: shape of its values on the data with which the network was calibrated.
        bits: its bit-width.
        bitops: its part of the network's bit operations, convention ``linear``.
        float_bitops: its part of the float32 network's bit operations.
        seconds: time of the operations whose result it is; 0 for a component that is only an operand.
        bytes: size of its packed values: 3 bits take 4, 5 to 7 bits take 8, an edge of an adjacency always a byte.
    """

    name: str
    kind: str
    layer: int
    shape: tuple[int, ...]
    bits: int
    bitops: float
    float_bitops: float
    seconds: float
    bytes: int

    @property
    def float_bytes(self) -> int:
        """Size of its values in float32."""
        return 4 * math.prod(self.shape)

    @classmethod
    def of(cls, component: Component, bits: int, cost: ComponentCost) -> Self:
        """Return a component at a bit-width, with its measured cost."""
        return cls(
            component.name,
            component.kind,
            component.layer,
            tuple(component.shape),
            bits,
            cost.bitops,
            cost.bitops * FLOAT_BITS / bits,
            cost.seconds,
            _bytes(component, bits),
        )


@dataclass(frozen=True)
class RunResult:
    """Result of a run.

    Attributes:
        title: title of the network: ``"gcn on Cora"``.
        kind: rows that are classified: ``"node"`` or ``"graph"``.
        objective: the cost that was saved.
        choice: criterion by which the best network was chosen, in words.
        finalists: float32, the uniform allocations, then those of the agent's search by ascending saving.
        best: best integer network among the finalists, by default that of highest reward at preference 0.5,
            by estimates or on validation data.
        components: names of the components, in the order of the allocations.
        shares: cost of each component in the best network.
        hypervolume: hypervolume of the search, with the evaluator's weights and on validation data.
        evaluations: number of distinct allocations evaluated.
        counts: number of nodes or graphs of each split, the denominators of the accuracies.
        majority: validation accuracy of the majority class; by another metric, its value for a constant prediction.
        run_dir: run folder.
        metric: the measure that the accuracies are values of.
        change: expected change of the best network against float32; None for a metric that is not a share of the items,
            and in files of earlier runs.
    """

    title: str
    kind: str
    objective: Objective
    choice: str
    finalists: tuple[Finalist, ...]
    best: Finalist
    components: tuple[str, ...]
    shares: tuple[ComponentShare, ...]
    hypervolume: float
    evaluations: int
    counts: Mapping[str, int]
    majority: float
    run_dir: Path
    metric: Metric = ACCURACY
    change: ExpectedChange | None = None

    @property
    def reference(self) -> Evaluation:
        """Evaluation of the float32 network."""
        return self.finalists[0].evaluation

    @property
    def estimated(self) -> bool:
        """Whether the networks were compared by estimates of their accuracy."""
        return self.best.evaluation.estimate is not None

    @property
    def uniform(self) -> list[Finalist]:
        """The integer networks of one bit-width everywhere, as far as constraints allow it."""
        return [finalist for finalist in self.finalists[1:] if finalist.label.startswith("uniform")]

    @property
    def mixed(self) -> list[Finalist]:
        """The other integer networks."""
        return [finalist for finalist in self.finalists[1:] if not finalist.label.startswith("uniform")]

    def document(self) -> dict[str, Any]:
        """Return the result without the run folder, in plain values."""
        content = asdict(self) | {"objective": self.objective.name, "metric": self.metric.name, "best": self.best.label}
        del content["run_dir"]
        return {"format": _FORMAT, "version": _VERSION, **content}

    def text(self) -> str:
        """Return the document as JSON."""
        return json.dumps(self.document(), indent=2, allow_nan=False)

    def save(self, path: Path) -> None:
        """Write the document as JSON, atomically.

        Raises:
            OSError: if the file cannot be written. An existing file does not change.
        """
        replace_file(path, self.text() + "\n")

    @staticmethod
    def load(path: Path) -> "RunResult":
        """Read the result that :meth:`save` wrote.

        Raises:
            ArtifactError: if the file is missing, damaged, or of another format version.
        """
        content = read_document(path, _FORMAT, _VERSION)
        try:
            return from_plain(content, _StoredResult).result(path.parent)
        except InputError as error:
            raise ArtifactError(f"{path} is damaged: {error}") from error


@dataclass(frozen=True)
class _StoredResult:
    """The fields of a result's file."""

    title: str
    kind: Literal["node", "graph"]
    objective: str
    choice: str
    finalists: tuple[Finalist, ...]
    best: str
    components: tuple[str, ...]
    shares: tuple[ComponentShare, ...]
    hypervolume: float
    evaluations: int
    counts: dict[str, int]
    majority: float
    metric: str = ACCURACY.name
    change: ExpectedChange | None = None

    def result(self, run_dir: Path) -> RunResult:
        """Return the result.

        Raises:
            InputError: if the fields contradict each other, or for an unknown objective or metric.
        """
        objective = objectives[self.objective]
        labels = [finalist.label for finalist in self.finalists]
        if labels[:1] != ["float32"] or not all(map(LABEL.fullmatch, labels[1:])):
            raise ArtifactError("its networks are not float32, uniform and agent")
        if self.best not in labels[1:] or len(set(labels)) < len(labels):
            raise ArtifactError(f"the best network, {self.best!r}, is not one of {labels[1:]}")
        for finalist in self.finalists:
            check_evaluation(finalist.evaluation, len(self.components))
            if not 0 <= finalist.test_accuracy <= 1:
                raise ArtifactError(f"{finalist.label!r} has a test accuracy of {finalist.test_accuracy}")
        names = tuple(share.name for share in self.shares)
        if names != self.components:
            raise ArtifactError(f"the shares of {list(names)} are not those of the components")
        for share in self.shares:
            numbers = (*share.shape, share.layer, share.bitops, share.float_bitops, share.seconds, share.bytes)
            if not 1 <= share.bits <= FLOAT_BITS or not all(0 <= number < GREATEST for number in numbers):
                raise ArtifactError(f"the costs of {share.name!r} are out of bounds")
        if set(self.counts) != set(get_args(Split)) or not all(0 < count < GREATEST for count in self.counts.values()):
            raise ArtifactError(f"{self.counts} are not the numbers of {self.kind}s of each split")
        numbers = (self.hypervolume, self.evaluations)
        if not 0 <= self.majority <= 1 or not all(0 <= number < GREATEST for number in numbers):
            raise ArtifactError("the hypervolume, the evaluations or the share of the majority class are out of bounds")
        change = self.change
        if change is not None and not -1 <= change.low <= change.expected <= change.high <= 1:
            raise ArtifactError(f"the expected change {change} is out of order")
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        best = self.finalists[labels.index(self.best)]
        named = {"objective": objective, "metric": metrics[self.metric], "best": best, "run_dir": run_dir}
        return RunResult(**{**fields, **named})


def _bytes(component: Component, bits: int) -> int:
    if component.kind == "adjacency" or len(component.shape) < 2:
        return math.prod(component.shape)
    *rows, columns = component.shape
    return math.prod(rows) * IntegerRange(bits, signed=True).row_bytes(columns)


def shares_of(
    components: Sequence[Component], allocation: Sequence[int], costs: Mapping[str, ComponentCost]
) -> tuple[ComponentShare, ...]:
    """Return all components of a network with their bit-widths and costs."""
    nothing = ComponentCost()
    return tuple(
        ComponentShare.of(component, bits, costs.get(component.name, nothing))
        for component, bits in zip(components, allocation, strict=True)
    )
