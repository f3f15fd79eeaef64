"""``mixq-rl train``: what it answers to mistakes, and what it says of itself."""

from pathlib import Path

import numpy as np
import pytest

import mixq_rl
from mixq_rl.nn import models
from tests.agents.cli.invoking import Ended, run, run_alone, save_graph
from tests.conftest import make_task

NOT_FINITE = make_task().x.numpy().copy()
NOT_FINITE[7, 3] = np.nan


def answers_with_one_line(result: Ended, message: str) -> None:
    assert result.code == 2
    assert message in result.stderr
    assert result.stderr.startswith("mixq-rl: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "Coraa"],
            "did you mean 'Cora'?; or write tu:NAME for another dataset of TUDataset, rmat-SCALE for",
        ),
        (
            ["--dataset", "Cora"],
            "data folder 'data' does not exist: looked for the files of Cora in 'data/planetoid/Cora/raw'",
        ),
        (["--dataset", "none.npz"], "graph file 'none.npz' does not exist"),
        (["--dataset", "rmat-x"], "'rmat-x' names no graph: write rmat-8 to rmat-24, such as rmat-16 for 2^16 nodes"),
        (["--dataset", "CSL", "--fold", "5"], "CSL has no fold 5: it has folds 0...4"),
        (["--dataset", "citation", "--fold", "0x"], "Invalid value for '--fold'"),
        (["--dataset", "citation", "--fold", "1"], "citation has no fold 1: it has one split: leave the fold out"),
        (
            ["--model", "gcm"],
            f"unknown model 'gcm': known are {', '.join(models)}; did you mean 'gcn'?",
        ),
        (["--model", "gat", "--hidden-channels", "12"], "12 hidden channels of a gat: they are split among 8 heads"),
        (["--layers", "0"], "a gcn of 0 layers of width 128: both must be at least 1"),
        (["--hidden-channels", "-3"], "a gcn of 2 layers of width -3: both must be at least 1"),
        (
            ["--evaluator", "supernett"],
            "unknown evaluator 'supernett': known are supernet, fine-tune, post-training; did you mean 'supernet'?",
        ),
        (
            ["--objective", "latancy"],
            "unknown objective 'latancy': known are bitops, latency, size; did you mean 'latency'?",
        ),
        (["--scheme", "lsqq"], "unknown quantization scheme 'lsqq': known are lsq,"),
        (["--bits", "3,x"], "--bits '3,x' is not a list of whole numbers"),
        (["--bits", ""], "--bits '' is not a list of whole numbers"),
        (["--bits", "2,9"], "bit-width 9 is outside 1...8"),
        (["--bits", "0"], "bit-width 0 is outside 1...8"),
        (["--batch-size", "-4"], "a batch of -4: at least 1 is needed"),
        (["--batch-size", "1"], "a batch of 1 seed node: at least 2 are needed"),
        (["--batch-size", "0", "--num-neighbors", "5,5"], "--num-neighbors 5,5 and --batch-size 0, the whole graph"),
        (["--num-neighbors", "5"], "5 neighbours for a network of 2 hops: give 2 numbers, or -1 for all"),
        (["--num-neighbors", "5,x"], "--num-neighbors '5,x' is not a list of whole numbers such as 10,5"),
        (["--num-neighbors", "5,0"], "0 neighbours: at least 1 is needed, or -1 for all of them"),
        (["--episodes", "0"], "0 episodes: at least 1 is needed"),
        (["--episodes", "many"], "Invalid value for '--episodes'"),
        (["--seed", "-1"], "seed -1 is outside"),
        (["--bogus"], "--bogus"),
    ],
)
def test_nonsense_is_answered_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    answers_with_one_line(run("train", *arguments, cwd=tmp_path), message)
    assert list(tmp_path.iterdir()) == []


def test_neighbours_in_whole_graphs_are_refused_after_what_the_data_say(tmp_path: Path) -> None:
    ended = run("train", "--dataset", "CSL", "--num-neighbors", "5,5", cwd=tmp_path)
    assert ended.code == 2
    assert "a step of a graph task has whole graphs" in ended.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "Cora"], "data folder 'data' does not exist"),
        pytest.param(["--episodes", "many"], "Invalid value for '--episodes'", marks=pytest.mark.slow),
    ],
)
def test_a_process_says_nothing_else(arguments: list[str], message: str, tmp_path: Path) -> None:
    answers_with_one_line(run_alone("train", *arguments, cwd=tmp_path), message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": NOT_FINITE}, "features of node 7 are not finite"),
        ({"edge_index": np.array([[0], [150]])}, "names node 150, but the graph has nodes 0...149"),
        ({"y": np.zeros(7, dtype=int)}, "y has shape [7], but there are 150 nodes"),
        ({"train_mask": np.zeros(150, dtype=bool)}, "the train mask is empty"),
    ],
)
def test_bad_graphs_are_answered_with_one_line(changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz", **changes)
    result = run("train", "--dataset", "graph.npz", cwd=tmp_path)
    assert result.code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["graph.npz"]


def test_run_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    result = run("train", "--dataset", "graph.npz", "--run-dir", "run", cwd=tmp_path)
    assert result.code == 2
    assert "run folder 'run' holds 'mine.txt'" in result.stderr
    result = run("train", "--dataset", "graph.npz", "--run-dir", "graph.npz", cwd=tmp_path)
    assert result.code == 2
    assert "run folder 'graph.npz' is a file" in result.stderr


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            ["--max-reduction", "4", "--max-bitops", "1e9"],
            "max_bitops and max_reduction: both limit the bit operations",
        ),
        (["--max-drop", "-1"], "a drop of at most -1 points: it must be within 0...100"),
        (["--max-reduction", "0"], "0 times fewer bit operations: it must be positive and finite"),
        (["--max-reduction", "inf"], "inf times fewer bit operations: it must be positive and finite"),
        (["--max-bitops", "1e9", "--objective", "latency"], "choose one of the two"),
        (["--max-bitops", "1e9", "--objective", "size"], "add max_drop, or choose one of the two"),
        (
            ["--max-size", "64XB"],
            "a size of '64XB': give bytes, or a unit, such as 64KB (64,000 bytes), 64KiB (65,536)",
        ),
        (["--max-size", "0"], "a size of '0'"),
        (["--pin", "conv1.weight"], "--pin 'conv1.weight' is not of the form conv1.weight=8"),
        (["--pin", "conv1.weight=4,8"], "--pin 'conv1.weight=4,8' is not of the form conv1.weight=8"),
        (["--pin", "conv1.weight=9"], "--pin 'conv1.weight=9': bit-width 9 is outside 1...8"),
        (["--bits-of", "=4,8"], "--bits-of '=4,8' is not of the form conv*.adjacency=4,8"),
        (["--dataset", "citation", "--dataset", "CSL", "--pin", "conv1.weight=8"], "learns without constraints"),
    ],
)
def test_limits_that_make_no_sense_are_answered_with_one_line(limit: list[str], message: str, tmp_path: Path) -> None:
    result = run("train", *limit, cwd=tmp_path)
    assert result.code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_and_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path, check=True).stdout == f"mixq-rl {mixq_rl.__version__}\n"
    assert "train" in run(cwd=tmp_path, check=True).stdout
    text = run("train", "--help", cwd=tmp_path, check=True).stdout
    names = (
        "dataset",
        "fold",
        "model",
        "layers",
        "hidden-channels",
        "episodes",
        "bits",
        "objective",
        "evaluator",
        "scheme",
    )
    names += ("seed", "data-root", "run-dir")
    for option in (f"--{name}" for name in names):
        assert option in text
