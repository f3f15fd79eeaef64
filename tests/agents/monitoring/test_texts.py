from dataclasses import replace
from pathlib import Path

from mixq_rl.agents.monitoring.texts import allocations_text, configuration_text, final_text
from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.objective import LATENCY
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32, 32), 0.8, 1.6e9, 1.0, 1600.0, 1.0, seconds=0.004)
UNIFORM = replace(FLOAT, allocation=(4, 4), accuracy=0.79, bitops=2e8, reduction=8.0, seconds=0.001)
MIXED = replace(FLOAT, allocation=(2, 8), accuracy=0.81, bitops=4e8, reduction=4.0, seconds=0.002)


def ended(*evaluations: Evaluation) -> RunResult:
    """Return a result whose last network is the best."""
    finalists = tuple(
        Finalist(label, evaluation, test)
        for (label, test), evaluation in zip(
            (("float32", 0.7), ("uniform 4", 0.6), ("agent 1", 0.65)), evaluations, strict=True
        )
    )
    return RunResult(
        title="gcn on a graph",
        kind="node",
        objective=LATENCY,
        choice="highest reward",
        finalists=finalists,
        best=finalists[2],
        components=("conv1.weight", "conv1.message"),
        shares=(),
        hypervolume=1.0,
        evaluations=3,
        counts={},
        majority=0.2,
        run_dir=Path(),
    )


def test_a_configuration_is_a_table() -> None:
    text = configuration_text({"bits": (2, 4), "fold": None, "dataset": "a|b"})
    assert text.splitlines() == [
        "| setting | value |",
        "| --- | --- |",
        "| bits | 2, 4 |",
        "| fold | default |",
        "| dataset | a\\|b |",
    ]


def test_the_best_allocations_are_shown_by_saving() -> None:
    text = allocations_text([UNIFORM], MIXED, FLOAT, ("conv1.weight", "conv1.message"), reward=TradeOff())
    assert text.splitlines() == [
        "|  | validation accuracy (%) | reduction | BitOPs (linear) | bits, in the components' order |",
        "| --- | --- | --- | --- | --- |",
        "| float32 | 80.0 | 1.00× | 1.60\N{NO-BREAK SPACE}G | 32 |",
        "| ★ | 81.0 | 4.00× | 400\N{NO-BREAK SPACE}M | 2 8 |",
        "|  | 79.0 | 8.00× | 200\N{NO-BREAK SPACE}M | 4 |",
        "",
        "★ highest reward so far:",
        "",
        "| component | bits |",
        "| --- | --- |",
        "| conv1.weight | 2 |",
        "| conv1.message | 8 |",
    ]


def test_estimates_have_a_column_beside_the_accuracies_also_in_the_final_table() -> None:
    estimated = [replace(MIXED, estimate=0.795), replace(UNIFORM, estimate=0.785)]
    text = allocations_text(estimated, estimated[0], FLOAT, ("conv1.weight", "conv1.message"), reward=TradeOff())
    heading, _, *rows = text.splitlines()[:5]
    assert heading.startswith("|  | validation accuracy (%) | estimated accuracy (%) | reduction |")
    assert rows[0].startswith("| float32 | 80.0 | 80.0 | 1.00× |")
    assert rows[1].startswith("| ★ | 81.0 | 79.5 | 4.00× |")
    assert rows[2].startswith("|  | 79.0 | 78.5 | 8.00× |")
    heading, _, float32, *_, best = final_text(ended(FLOAT, *reversed(estimated))).splitlines()[:5]
    assert heading.startswith("|  | validation accuracy (%) | estimated accuracy (%) | test accuracy (%) | reduction |")
    assert float32.startswith("| float32 | 80.0 | 80.0 | 70.0 | 1.00× |")
    assert best.startswith("| agent 1 ★ | 81.0 | 79.5 | 65.0 | 4.00× |")


def test_the_final_table_has_test_accuracies_and_with_latency_times() -> None:
    result = ended(FLOAT, UNIFORM, MIXED)
    lines = final_text(result).splitlines()
    assert lines[0].startswith(
        "|  | validation accuracy (%) | test accuracy (%) | reduction | BitOPs (linear) | speed-up"
    )
    assert lines[2] == "| float32 | 80.0 | 70.0 | 1.00× | 1.60\N{NO-BREAK SPACE}G | 1.00× | 4.000 | 32 |"
    assert lines[4] == "| agent 1 ★ | 81.0 | 65.0 | 4.00× | 400\N{NO-BREAK SPACE}M | 2.00× | 2.000 | 2 8 |"
    assert lines[-1] == "★ highest reward"
