"""Tables of ``choice.py``: what predicts the accuracy after training, which epoch to take, whether the interval holds.

``results/choice.jsonl`` gets one line for each network. The tables on epochs and on the best network draw new splits:
the labelled validation and test items together are split at random again, into parts of the same sizes. Epoch and
network are then chosen on the one part and measured on the other, which gives many runs from few trainings:

    python benchmarks/choice_figures.py
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from measuring import circumstances
from scipy.stats import spearmanr

RESULTS = Path(__file__).parent / "results" / "choice.jsonl"
FINALISTS = 10
SPLITS, RESAMPLES = 300, 100
RULES = ("best", "ends", "last", "settled", "half")
# best: the epoch most accurate on validation. last: the last one. ends: the more accurate of the network before the
# training and that of the last epoch. settled: the best epoch if it exceeds the last by two standard errors. half: one
# half of the validation items chooses the epoch, the other one the network.
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """Raw answers of one problem. Items are those of validation, then those of test."""

    name: str
    task: dict[str, Array]
    networks: list[dict[str, Array]]

    @classmethod
    def read(cls, folder: Path) -> "Problem":
        files = sorted(folder.glob("[0-9]*.npz"))
        return cls(folder.name, dict(np.load(folder / "task.npz")), [dict(np.load(file)) for file in files])

    @property
    def graphs(self) -> bool:
        return "log_validation" in self.task

    @property
    def y(self) -> Array:
        return np.concatenate([self.task["y_validation"], self.task["y_test"]])

    @property
    def validated(self) -> int:
        return len(self.task["y_validation"])

    def items(self, values: Array) -> Array:
        """Return the values of the items, along the last axis."""
        if self.graphs:
            return values
        return np.concatenate([values[..., self.task[f"mask_{split}"]] for split in ("validation", "test")], axis=-1)

    def classes(self, of: dict[str, Array], before: str = "") -> Array:
        """Return the predicted classes of the items."""
        if not self.graphs:
            return self.items(of[f"{before}log"].argmax(axis=1))
        return np.concatenate([of[f"{before}log_{split}"].argmax(axis=1) for split in ("validation", "test")])

    def unlabelled(self, of: dict[str, Array], before: str = "") -> Array:
        """Return the log-probabilities of all nodes, or of the training and validation graphs."""
        if not self.graphs:
            return of[f"{before}log"].astype(np.float64)
        parts = [of[f"{before}log_{split}"] for split in ("train", "validation")]
        return np.concatenate(parts).astype(np.float64)

    def epochs(self, training: int) -> Array:
        """Return whether each network of each epoch is right on each item, ``[networks, epochs, items]``."""
        return np.stack([self.items(each[f"trained{training}_classes"]) == self.y for each in self.networks])


def main(raw: Annotated[Path, typer.Option(help="The answers of choice.py.")] = Path("runs/choice")) -> None:
    problems = [Problem.read(folder) for folder in sorted(raw.iterdir()) if folder.is_dir()]
    lines = [line for problem in problems for line in _lines(problem)]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for problem in problems:
        _correlations(problem)
    for problem in problems:
        for training in (0, 1):
            _splits(problem, training)


def _lines(problem: Problem) -> list[dict[str, Any]]:
    lines = []
    for place, network in enumerate(problem.networks):
        line: dict[str, Any] = {"problem": problem.name, "allocation": network["allocation"].tolist()}
        line["supernet"] = {name: round(value, 5) for name, value in _estimates(problem, network).items()}
        for training, start in enumerate(("calibrated", "supernet")):
            right = problem.epochs(training)[place]
            halves = [right[:, : problem.validated].mean(axis=1), right[:, problem.validated :].mean(axis=1)]
            for rule, epoch in (("best", int(halves[0].argmax())), ("last", -1)):
                line[f"from {start}, {rule}"] = [round(float(half[epoch]), 4) for half in halves]
        lines.append({**line, **circumstances("choice_figures.py")})
    return lines


def _estimates(problem: Problem, network: dict[str, Array]) -> dict[str, float]:
    """Return estimates of the accuracy with the supernet's weights."""
    count, labels = problem.validated, problem.y[: problem.validated]
    right = (problem.classes(network, "supernet_")[:count] == labels).astype(float)
    float_right = (problem.classes(problem.task)[:count] == labels).astype(float)
    teacher = np.exp(problem.unlabelled(problem.task))
    own = problem.unlabelled(network, "supernet_")
    believed = teacher[np.arange(len(own)), own.argmax(axis=1)] - teacher.max(axis=1)
    rows = slice(-count, None) if problem.graphs else problem.task["mask_validation"]
    labelled = believed[rows]
    logs = own[rows][np.arange(count), labels]
    # The weight of least variance of the control variate (Angelopoulos et al., Science 382, 2023).
    covariance = np.cov(right - float_right, labelled)
    weight = covariance[0, 1] / max(covariance[1, 1], 1e-12) / (1 + count / len(own))
    return {
        "accuracy": float(right.mean()),
        "minus loss": float(logs.mean()),
        "control variate": float(right.mean() + weight * (believed.mean() - labelled.mean())),
        "teacher": float(believed.mean()),
        "accuracy and teacher": float(right.mean() - float_right.mean() + believed.mean()) / 2,
    }


def _correlations(problem: Problem) -> None:
    estimates = [_estimates(problem, network) for network in problem.networks]
    tests = {
        (training, epoch): problem.epochs(training)[:, :, problem.validated :].mean(axis=2)[
            np.arange(len(estimates)),
            -1 if epoch == "last" else problem.epochs(training)[:, :, : problem.validated].mean(axis=2).argmax(axis=1),
        ]
        for training in (0, 1)
        for epoch in ("best", "last")
    }
    print(f"\n{problem.name}, {len(estimates)} networks: Spearman with the test accuracy after training")
    for name in estimates[0]:
        predicted = [each[name] for each in estimates]
        shown = [
            f"{epoch} {training} {_spearman(predicted, values):+.2f}" for (training, epoch), values in tests.items()
        ]
        means = [tests[0, epoch] + tests[1, epoch] for epoch in ("best", "last")]
        print(f"  {name:22} {', '.join(shown)}; means {' '.join(f'{_spearman(predicted, m):+.2f}' for m in means)}")
    among = [_spearman(tests[0, epoch], tests[1, epoch]) for epoch in ("best", "last")]
    print(f"  of one training with the other: best {among[0]:+.2f}, last {among[1]:+.2f}")


def _spearman(left: Any, right: Any) -> float:
    return float(spearmanr(left, right).statistic)


def _splits(problem: Problem, training: int) -> None:
    right, count = problem.epochs(training).astype(float), problem.validated
    float_right = (problem.classes(problem.task) == problem.y).astype(float)
    savings = np.log2([float(each["reduction"]) for each in problem.networks]) / 4
    draw = np.random.default_rng(0)
    found: dict[str, list[tuple[float, ...]]] = {rule: [] for rule in RULES}
    for _ in range(SPLITS):
        order = draw.permutation(len(float_right))
        validation, test = order[:count], order[count:]
        among = draw.choice(len(right), min(FINALISTS, len(right)), replace=False)
        for rule in RULES:
            found[rule].append(_run(right[among], float_right, savings[among], validation, test, rule, draw))
    print(f"\n{problem.name}, training {training}: points against float32, means over {SPLITS} splits")
    for rule, runs in found.items():
        all_val, all_test, val, tested, expected, width = 100 * np.array(runs).T
        raw, corrected = (100 * np.mean(abs(each - tested) <= width) for each in (val, expected))
        print(
            f"  {rule:8} all networks {all_val.mean():+.2f} val {all_test.mean():+.2f} test; "
            f"star {val.mean():+.2f} val, {tested.mean():+.2f} test, {expected.mean():+.2f} expected; "
            f"± {width.mean():.1f} holds {raw:.0f} % uncorrected, {corrected:.0f} % corrected"
        )


def _run(
    right: Array, float_right: Array, savings: Array, validation: Array, test: Array, rule: str, draw: Any
) -> tuple[float, ...]:
    """Return the changes of all networks and of the best one, its expected change, and half the interval's width."""
    chooses, judges = validation, validation
    if rule == "half":
        chooses, judges = np.array_split(validation, 2)
    rows = np.arange(len(right))
    epochs = right[:, :, chooses].mean(axis=2).argmax(axis=1)
    if rule in ("last", "settled"):
        last = np.full(len(right), right.shape[1] - 1)
        gained = right[rows, epochs][:, chooses] - right[rows, last][:, chooses]
        error = np.sqrt((gained.var(axis=1) + 1 / len(chooses)) / len(chooses))
        clear = (gained.mean(axis=1) > 2 * error) & (rule == "settled")
        epochs = np.where(clear, epochs, last)
    if rule == "ends":
        first_and_last = right[:, [0, -1]][:, :, chooses].mean(axis=2)
        epochs = np.where(first_and_last[:, 0] > first_and_last[:, 1], 0, right.shape[1] - 1)
    changes = right[rows, epochs] - float_right
    judged = changes[:, judges]
    best = int((5 * judged.mean(axis=1) + savings / 2).argmax())
    weights = draw.multinomial(len(judges), np.full(len(judges), 1 / len(judges)), size=RESAMPLES) / len(judges)
    drawn = weights @ judged.T
    chosen = (5 * drawn + savings / 2).argmax(axis=1)
    optimism = (drawn[np.arange(RESAMPLES), chosen] - judged.mean(axis=1)[chosen]).mean()
    width = 1.96 * np.sqrt((judged[best].var() + 1 / len(judges)) * (1 / len(judges) + 1 / len(test)))
    value, tested = judged[best].mean(), changes[best, test].mean()
    everywhere = changes[:, judges].mean(), changes[:, test].mean()
    return (*map(float, everywhere), float(value), float(tested), float(value - optimism), float(width))


if __name__ == "__main__":
    typer.run(main)
