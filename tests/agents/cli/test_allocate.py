"""Command ``mixq-rl allocate`` for targets."""

import json

from tests.agents.cli.invoking import Invoke

SMALL = ("allocate", "--dataset", "graph.npz", "--hidden-channels", "8")


def test_help_names_the_targets(invoke: Invoke) -> None:
    shown = " ".join(invoke("allocate", "--help").stdout.replace("│", " ").split())
    for part in ("--max-drop", "--max-reduction", "--max-size", "how sure the answer is"):
        assert part in shown


def test_a_drop_is_answered_with_its_probability(invoke: Invoke) -> None:
    said = invoke(*SMALL, "--max-drop", "5")
    assert said.code == 0
    assert "at most 5 points below float32 on unseen data with probability 0." in said.stdout or (
        "with probability 1.00" in said.stdout
    )
    found = json.loads(invoke(*SMALL, "--max-drop", "5", "--json").stdout)
    assert 0 <= found["confidence"] <= 1
    assert found["max_drop"] == 5
    assert 1 <= found["trainings"] <= 4
    assert found["fine_tuned"]


def test_a_metric_without_calibration_has_no_probability(invoke: Invoke) -> None:
    ended = invoke(*SMALL, "--max-drop", "5", "--metric", "macro-f1", "--json")
    assert json.loads(ended.stdout)["confidence"] is None
    assert "with probability" not in ended.stderr


def test_a_reduction_is_kept_and_nothing_is_trained(invoke: Invoke) -> None:
    found = json.loads(invoke(*SMALL, "--max-reduction", "9", "--json").stdout)
    assert found["reduction"] >= 9
    assert (found["confidence"], found["trainings"], found["fine_tuned"]) == (None, 0, False)
    both = json.loads(invoke(*SMALL, "--max-reduction", "9", "--max-drop", "50", "--json").stdout)
    assert both["reduction"] >= 9
    assert both["trainings"] >= 1


def test_a_reduction_out_of_reach_is_refused_before_training(invoke: Invoke) -> None:
    for option in ((), ("--max-drop", "1")):
        ended = invoke(*SMALL, "--max-reduction", "40", *option)
        assert ended.code == 2
        assert len(ended.stderr.strip().splitlines()) == 1
        assert "fewer than float32) to" in ended.stderr
        assert "training in float32" not in ended.stdout
