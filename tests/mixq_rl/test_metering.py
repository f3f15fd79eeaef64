from dataclasses import replace

import pytest
import torch

from mixq_rl.metering import ComponentCost, OpMeter, OpRecord, operation

CPU = torch.device("cpu")
LINEAR = OpRecord("linear", "x", "w", "m", (3, 5, 7), 2, 4, 8, bytes=10)
AGGREGATE = OpRecord("aggregate", "a", "m", "h", (3, 11, 7), 2, 8, 4, bytes=20)


def test_counts_of_a_linear() -> None:
    assert LINEAR.operations == LINEAR.macs == 3 * 5 * 7
    assert LINEAR.bitops("linear") == pytest.approx(105 * (2 + 4 + 8) / 3)
    assert LINEAR.bitops("product") == 105 * 2 * 4


def test_counts_of_an_aggregate() -> None:
    assert AGGREGATE.macs == 11 * 7
    assert AGGREGATE.operations == 2 * 11 * 7
    assert AGGREGATE.bitops("product") == 77 * 2 * 8


def test_meter_adds_up_what_happened_inside_its_block_only() -> None:
    with operation(lambda: LINEAR, CPU):
        pass
    with OpMeter() as meter:
        with operation(lambda: LINEAR, CPU):
            pass
        with operation(lambda: AGGREGATE, CPU):
            pass
    with operation(lambda: AGGREGATE, CPU):
        pass
    assert [replace(record, seconds=0.0) for record in meter.records] == [LINEAR, AGGREGATE]
    assert meter.bitops() == LINEAR.bitops() + AGGREGATE.bitops()
    assert (meter.operations, meter.bytes) == (105 + 154, 30)
    assert meter.seconds > 0


def test_components_share_what_their_operations_cost() -> None:
    unweighted = replace(AGGREGATE, left="edges", left_bits=None)
    meter = OpMeter()
    meter.records = [replace(LINEAR, seconds=0.5), replace(AGGREGATE, seconds=0.25), replace(unweighted, seconds=0.125)]
    costs = meter.by_component()
    assert list(costs) == ["x", "w", "m", "a", "h"]
    assert costs["w"] == ComponentCost(bitops=105 * 4 / 3)
    assert costs["m"].bitops == pytest.approx(105 * 8 / 3 + 154 * 8 / 3 + 154 * 8 / 2)
    assert (costs["m"].bytes, costs["m"].seconds) == (10, 0.5)
    assert (costs["h"].bytes, costs["h"].seconds) == (40, 0.375)
    assert sum(cost.bitops for cost in costs.values()) == pytest.approx(meter.bitops("linear"))
    assert sum(cost.bytes for cost in costs.values()) == meter.bytes
    assert sum(cost.seconds for cost in costs.values()) == meter.seconds


def test_meters_nest() -> None:
    with OpMeter() as outer, OpMeter() as inner, operation(lambda: LINEAR, CPU):
        pass
    assert len(outer.records) == len(inner.records) == 1


def test_nothing_is_counted_without_a_meter() -> None:
    def record() -> OpRecord:
        raise AssertionError("asked for a record that nobody reads")

    with operation(record, CPU):
        pass


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown convention 'other': known are 'linear' and 'product'"):
        OpMeter().bitops("other")  # type: ignore[arg-type]
