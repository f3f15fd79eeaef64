import pytest

from mixq_rl.agents.records.constraint_options import bit_widths_of, parse_size
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.envs import MaxBitOps, MaxDrop, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import LATENCY, SIZE
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KB", 64_000),
        ("64kib", 65_536),
        ("1.5 MB", 1_500_000),
        ("2MiB", 2 * 1024**2),
        ("1GB", 10**9),
        ("12345", 12_345),
        ("12345B", 12_345),
    ],
)
def test_sizes_have_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KB", "-1KB", "64 K", "1e3", "0", "0.4B", "64KB/s"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match="give bytes, or a unit"):
        parse_size(text)


def test_patterns_have_bit_widths() -> None:
    assert bit_widths_of("bits-of", ["conv*.adjacency=8,4", "a=b=2"]) == [("conv*.adjacency", (4, 8)), ("a=b", (2,))]


def test_named_bit_widths_join_the_offer() -> None:
    config = EvaluatorConfig(bits=(2, 4), pin=("conv1.weight=8",), bits_of=("*.adjacency=3,4",))
    assert config.offered == (2, 3, 4, 8)
    names = ["conv1.weight", "conv1.adjacency", "conv1.message"]
    assert config.constraints.allowed(names, config.offered) == ((8,), (3, 4), (2, 4))
    assert config.constrained == "conv1.weight=8, *.adjacency=3,4"
    assert EvaluatorConfig().constraints.allowed(names, (2, 4, 8)) == ((2, 4, 8),) * 3


def test_limits_go_together() -> None:
    def reward(**given: object) -> object:
        return RunConfig(**given).reward(FLOAT)  # type: ignore[arg-type]

    assert reward(max_drop=1, max_reduction=4, objective="size") == MaxDrop(0.01, SIZE, 400)
    assert reward(max_drop=1, max_bitops=500) == MaxDrop(0.01, max_bitops=500)
    assert reward(max_bitops=500, max_size="64KB", pin=("a=8",)) == MaxBitOps(500)
    assert reward(objective="latency", max_size="64KB", pin=("a=8",)) == TradeOff(LATENCY)
