from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.metrics import metrics
from mixq_rl.evaluation.integer_metric import IntegerMetric
from mixq_rl.quantization import FixedPoint, IntegerRange, QTensor


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    bits=st.integers(1, 8),
    signed=st.booleans(),
    kind=st.sampled_from(("tensor", "row", "column")),
    split=st.sampled_from(("train", "validation", "test")),
)
def test_answers_are_those_of_the_real_logits_ties_included(
    task: GraphTask, seed: int, bits: int, signed: bool, kind: str, split: str
) -> None:
    draw, offered, classes = torch.Generator().manual_seed(seed), IntegerRange(bits, signed), 3
    codes = torch.randint(0, 2**bits, (task.num_nodes, classes), generator=draw)
    values = (codes * offered.step + offered.minimum).to(offered.dtype)
    scale = torch.rand((classes,) if kind == "column" else (), generator=draw, dtype=torch.float64) + 1e-9
    row = None
    if kind == "row":  # a scale of 0 makes all logits equal
        row = FixedPoint(torch.randint(0, 3, (task.num_nodes, 1), generator=draw, dtype=torch.int32), 4)
    zero_point = 0 if offered.is_sign else int(torch.randint(-9, 9, (), generator=draw))
    logits = QTensor.pack(values, offered, scale, zero_point, row)
    judge = IntegerMetric(task, split)  # type: ignore[arg-type]
    assert judge.of([judge.measure(logits)]) == [task.accuracy(logits.dequantize(), split)]  # type: ignore[arg-type]


def test_graphs_are_those_of_the_split(graph_task: GraphTask) -> None:
    graphs = int(graph_task.masks["test"].sum())
    values = torch.randint(0, 256, (graphs, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits = QTensor.pack(values, IntegerRange(8, signed=False), torch.tensor(0.5, dtype=torch.float64))
    judge = IntegerMetric(graph_task, "test")
    assert judge.of([judge.measure(logits)] * 2) == [graph_task.accuracy(logits.dequantize(), "test")] * 2


def test_of_nothing_there_is_nothing(task: GraphTask) -> None:
    assert IntegerMetric(task, "test").of([]) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_counts_stay_on_the_device(task: GraphTask) -> None:
    judge = IntegerMetric(task.to("cuda"), "test")  # type: ignore[attr-defined]
    values = torch.zeros(task.num_nodes, 3, dtype=torch.int8, device="cuda")
    correct = judge.measure(QTensor.pack(values, IntegerRange(8, True), torch.tensor(1.0, dtype=torch.float64)))
    assert correct.is_cuda
    assert judge.of([correct]) == [task.accuracy(torch.zeros(task.num_nodes, 3), "test")]


@pytest.mark.parametrize("name", [name for name in metrics if name != "accuracy"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_metrics_are_those_of_the_dequantized_logits(task: GraphTask, name: str, split: str) -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (task.num_nodes, 3), dtype=torch.uint8, generator=draw)
    logits = QTensor.pack(values, IntegerRange(8, signed=False), torch.tensor(0.1, dtype=torch.float64), 128)
    labels = torch.randint(0, 2, (task.num_nodes, 3), generator=draw).float()
    labels[torch.rand(labels.shape, generator=draw) < 0.2] = torch.nan
    measured = [replace(task, metric=name)]
    if metrics[name].multi_label:
        measured.append(replace(task, y=labels, metric=name))
    for each in measured:
        judge = IntegerMetric(each, split)  # type: ignore[arg-type]
        expected = each.score(logits.dequantize(), split)  # type: ignore[arg-type]
        assert judge.of([judge.measure(logits)] * 2) == [expected] * 2
        assert 0.2 < expected < 0.8
