"""Saved integer networks: what is written is read again, and what is wrong is refused."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mixq_rl import IntegerModel
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.nn import INPUT, Activation, Add, Concatenate, GATConv, GINConv, Linear, MaxPool, Node, QuantizableModel
from tests.hostile.mutations import signed
from tests.mixq_rl.nn.networks import FEATURES, calibrated, features, make_graph

GRAPH = make_graph(graphs=4)
BITS = 3  # in 4 bits of storage, which could hold more

Change = Callable[[Any], Any]


def every_step() -> QuantizableModel:
    """A network that has a step of every kind."""
    mlp = Linear(6, 6, names=("gin.weight", "gin.update"), kind="update", norm=nn.BatchNorm1d(6))
    nodes = [
        Node("lin", Linear(FEATURES, 6, names=("lin.weight", "lin.output"), relu=True), (INPUT,)),
        Node("act", Activation(torch.tanh, "act.update"), ("lin",)),
        Node("gin", GINConv(mlp, name="gin"), ("act",)),
        Node("gat", GATConv(6, 3, name="gat", heads=2), ("act",)),
        Node("add", Add("add.update", bias_channels=6, norm=nn.BatchNorm1d(6)), ("gin", "gat")),
        Node("cat", Concatenate("cat.update"), ("add", "act")),
        Node("pool", MaxPool(), ("cat",)),
        Node("out", Linear(12, 3, names=("out.weight", "out.output")), ("pool",)),
    ]
    return QuantizableModel(nodes, input_name="net.input")


@pytest.fixture(scope="module")
def frozen() -> IntegerModel:
    model = calibrated(every_step(), features(GRAPH), GRAPH)
    return IntegerModel.freeze(model, [BITS] * len(model.quantizers))


@pytest.fixture
def saved(frozen: IntegerModel, tmp_path: Path) -> Path:
    frozen.save(tmp_path)
    return tmp_path


def change_json(path: Path, where: str, change: Change) -> None:
    file = path / "integer_model.json"
    config = json.loads(file.read_text())
    *parents, last = (int(part) if part.isdigit() else part for part in where.split("."))
    target = config
    for parent in parents:
        target = target[parent]
    target[last] = change(target[last])
    file.write_text(json.dumps(config))
    signed(path, "integer_model")


def change_tensor(path: Path, name: str, change: Change) -> None:
    file = path / "integer_model.safetensors"
    tensors = load_file(file)
    assert f"model.{name}" in tensors
    save_file({**tensors, f"model.{name}": change(tensors[f"model.{name}"])}, file)
    signed(path, "integer_model")


def to(value: Any) -> Change:
    return lambda _: value


def test_a_network_of_every_kind_of_step_is_read_again(frozen: IntegerModel, saved: Path) -> None:
    loaded = IntegerModel.load(saved)
    assert {type(step) for step in loaded.steps} == {type(step) for step in frozen.steps}
    assert len({type(step) for step in loaded.steps}) == 8
    x = features(GRAPH)
    expected = frozen(x, GRAPH.edge_index, batch=GRAPH.batch)
    assert torch.equal(loaded(x, GRAPH.edge_index, batch=GRAPH.batch), expected)
    assert loaded.nbytes == frozen.nbytes > 0


@pytest.mark.parametrize(
    ("where", "change", "message"),
    [
        ("version", to(99), "has format version 99; this version of mixq_rl reads 6"),
        ("version", to(2), "has format version 2; this version of mixq_rl reads 6"),
        ("format", to("mixq_rl/policy"), "is not a mixq_rl integer_model"),
        ("model", to(None), "None is not IntegerModel"),
        ("model.steps", to([]), r"the allocation \(3, .*\) is not what its steps have, \{'net\.input': 3\}"),
        ("model.steps", to(3), "a list is missing"),
        ("model.steps", lambda steps: steps[:-1], "is not what its steps have"),
        ("model.steps", lambda steps: [steps[1], *steps], r"takes values \(1,\), of which there are 1"),
        ("model.allocation", to([3]), r"the allocation \(3,\) is not what its steps have"),
        ("model.allocation", lambda bits: [*bits, 3], "is not what its steps have"),
        ("model.allocation", lambda bits: [4, *bits[1:]], "is not what its steps have"),
        ("model.allocation", to([]), r"the allocation \(\) is not what its steps have"),
        ("model.components", lambda names: names[:-1], "is not what its steps have"),
        ("model.components", lambda names: ["other", *names[2:], names[1]][: len(names) - 1], "is not what its steps"),
        ("model.components.3", to("other"), "is not what its steps have"),
        # Linear
        ("model.steps.0.type", to("Path"), "'Path' is not IntegerStep"),
        ("model.steps.0.type", to("IntegerStep"), "'IntegerStep' is not IntegerStep"),
        ("model.steps.0.type", to("IntegerModel"), "'IntegerModel' is not IntegerStep"),
        ("model.steps.0.type", to("Requantization"), "'Requantization' is not IntegerStep"),
        ("model.steps.0.type", to(None), "None is not IntegerStep"),
        ("model.steps.0", to(7), "None is not IntegerStep"),
        ("model.steps.0.requantization.shift", to(0), r"shift 0 is outside 1\.\.\.40"),
        ("model.steps.0.requantization.shift", to("x"), "'x' is not of type int"),
        ("model.steps.0.requantization.row_shift", to(200), "row shift 200 outside"),
        (
            "model.steps.0.requantization.row_shift",
            to(0),
            "row shift 0 of a requantization of rows with scales is below 30",
        ),
        ("model.steps.0.requantization.zero_point", to(10**20), "zero point 100000000000000000000 is outside"),
        ("model.steps.0.weight.payload.range.bits", to(9), "bit-width 9 is outside"),
        ("model.steps.0.weight.payload.range.signed", to(False), "'lin.weight' holds other integers than signed ones"),
        ("model.steps.0.weight.payload.columns", to(9), r"9 columns of .* take rows of 5 bytes"),
        ("model.steps.0.weight.payload.data", to({"tensor": "none"}), r"weight\.payload\.data: tensor missing"),
        ("model.steps.0.weight.zero_point", to(1), "'lin.weight' has a zero point"),
        # Sources
        ("model.steps.0.sources", to([1]), r"step 'lin\.output' takes values \(1,\), of which there are 1"),
        ("model.steps.1.sources", to([-1]), r"takes values \(-1,\)"),
        ("model.steps.1.sources", to([]), r"takes values \(\)"),
        ("model.steps.1.sources", to([1, 1]), "too many values"),
        ("model.steps.1.sources", to([0]), r"step 'act\.update' takes no values whose rows have scales of their own"),
        ("model.steps.6.sources", to([5]), "not enough values"),
        ("model.steps.6.sources", to([6, 5]), "takes 4 columns, but what comes before has 6"),
        ("model.steps.7.sources", to([4]), "has 2 multipliers for 1 sources"),
        ("model.steps.7.sources", to([4, 4, 4]), "has 2 multipliers for 3 sources"),
        ("model.steps.7.sources", to([4, 6]), "takes 6 columns, but what comes before has 4"),
        ("model.steps.8.sources", to([8]), "has 2 alignments for 1 sources"),
        ("model.steps.10.sources", to([11]), r"takes values \(11,\), of which there are 11"),
        # Lookup
        ("model.steps.1.source_range.bits", to(4), r"the table of step 'act\.update' must have 16 entries"),
        ("model.steps.1.source_range.signed", to(True), r"is for IntegerRange\(bits=3, signed=True\)"),
        ("model.steps.1.zero_point", to(1000), "zero point 1000 is outside"),
        # Propagate
        ("model.steps.2.names", to(["a", "b"]), "2 entries where 3 belong"),
        ("model.steps.2.propagation.normalization", to("max"), "known are"),
        ("model.steps.2.propagation.loop_weight", to(float("nan")), "it holds NaN, which is no number"),
        ("model.steps.2.adjacency.zero_point", to(999), "zero point 999 is outside"),
        ("model.steps.2.adjacency", to(None), "is not what its steps have"),
        # Score
        ("model.steps.5.names", to(["a", "b", "c", "d"]), "4 entries where 3 belong"),
        ("model.steps.5.weight.payload.columns", to(3), "which is not two for each head"),
        # Attend
        ("model.steps.6.names", lambda names: names[:2], "2 entries where 3 belong"),
        ("model.steps.6.heads", to(0), "takes 0 columns|splits 6 columns among 0 heads"),
        ("model.steps.6.heads", to(4), "splits 6 columns among 4 heads"),
        ("model.steps.6.heads", to(3), "takes 6 columns, but what comes before has 4"),
        ("model.steps.6.heads", to(-1), "columns"),
        ("model.steps.6.concat", to(False), "do not fit its 3 columns"),
        ("model.steps.6.concat", to(1), "1 is not of type bool"),
        ("model.steps.6.softmax.range.signed", to(True), "are unsigned"),
        ("model.steps.6.softmax.logit_range.bits", to(4), "the table of a softmax has 16 entries"),
        ("model.steps.6.softmax.logit_range.signed", to(False), "takes other logits"),
        ("model.steps.6.logits.alignment.multipliers", lambda entries: entries * 2, "has 2 multipliers of its scores"),
        ("model.steps.6.logits.alignment.multipliers", to([]), "one for each source"),
        # Add
        ("model.steps.7.alignment.shift", to(41), r"shift 41 is outside 1\.\.\.40"),
        ("model.steps.7.alignment.multipliers", lambda entries: entries[:1], "has 1 multipliers for 2 sources"),
        # Concatenate
        ("model.steps.8.join", to("multiply"), "unknown join 'multiply': known are concatenate, maximum"),
        ("model.steps.8.join", to("maximum"), "columns"),
        ("model.steps.8.alignments", to([]), "not brought to the same integers"),
        ("model.steps.8.alignments", lambda entries: entries[:1], "has 1 alignments for 2 sources"),
        ("model.steps.8.alignments.0.zero_point", to(200), "not brought to the same integers"),
        # MaxPool
        ("model.steps.9.result", to(5), "5 is not of type str"),
    ],
)
def test_files_that_are_wrong_are_refused(saved: Path, where: str, change: Change, message: str) -> None:
    change_json(saved, where, change)
    with pytest.raises(ArtifactError, match=message):
        IntegerModel.load(saved)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "steps.10.weight.payload.data",
            lambda data: data[:-1].clone(),
            "takes 11 columns, but what comes before has 12",
        ),
        ("steps.10.weight.payload.data", lambda data: data.repeat(1, 2), "take rows of 2 bytes"),
        ("steps.10.weight.payload.data", lambda data: data.flatten(), "take rows of 2 bytes"),
        ("steps.10.weight.payload.data", lambda data: data.char(), r"held as torch\.uint8, not torch\.int8"),
        ("steps.10.weight.payload.data", lambda data: data.fill_(0xFF), "'out.weight' holds other integers"),
        ("steps.0.requantization.multiplier", lambda entries: entries.fill_(2**31), r"below 2\^31"),
        ("steps.0.requantization.multiplier", lambda entries: entries.fill_(-5), r"below 2\^31"),
        ("steps.0.requantization.multiplier", lambda entries: entries.float(), "are int64"),
        ("steps.0.requantization.multiplier", lambda entries: entries[:5].clone(), "do not fit its 6 columns"),
        ("steps.0.requantization.bias", lambda bias: bias.fill_(2**62), "beyond 4096 steps"),
        ("steps.0.scale", lambda scale: scale.fill_(float("nan")), "is not one positive number"),
        ("steps.0.scale", lambda scale: scale.repeat(6), "is not one positive number"),
        ("steps.1.table", lambda table: table[:-1].clone(), "must have 8 entries"),
        ("steps.1.table", lambda table: table.repeat(2), "must have 8 entries"),
        ("steps.1.table", lambda table: table.int(), "must have 8 entries"),
        ("steps.1.table", lambda table: table.fill_(100), "must have 8 entries"),
        ("steps.1.scale", lambda scale: -scale, "is not one positive number"),
        ("steps.2.epsilon", lambda epsilon: epsilon.repeat(2), "is not a single number"),
        ("steps.2.epsilon", lambda epsilon: epsilon.float(), "is not a single number"),
        ("steps.2.epsilon", lambda epsilon: epsilon.fill_(float("inf")), "is not a single number"),
        ("steps.2.adjacency.scale", lambda scale: scale.fill_(float("nan")), "positive, finite and float64"),
        ("steps.2.adjacency.scale", lambda scale: scale.int(), "positive, finite and float64"),
        ("steps.2.adjacency.scale", lambda scale: scale.repeat(3), "is not one positive number"),
        ("steps.5.weight.payload.data", lambda data: data.fill_(0xFF), "'gat.attention_weight' holds other integers"),
        ("steps.5.weight.payload.data", lambda data: data[:-1].clone(), "takes 4 columns, but what comes before has 6"),
        ("steps.6.logits.leaky", lambda table: table[:-1].clone(), "must have 8 entries"),
        ("steps.6.logits.leaky", lambda table: table.fill_(100), "must have 8 entries"),
        ("steps.6.logits.leaky", lambda table: table.view(torch.uint8), "must have 8 entries"),
        ("steps.6.softmax.table", lambda table: table[:-1].clone(), "has 8 entries"),
        ("steps.6.softmax.table", lambda table: table.int(), "is torch.uint8"),
        ("steps.6.softmax.table", lambda table: table.fill_(0), "begins with at least 1"),
        ("steps.6.softmax.table", lambda table: table.fill_(255), "of at most 7"),
        ("steps.6.logits.alignment.multipliers.0", lambda entry: entry.repeat(3), "do not fit its 2 columns"),
        ("steps.7.alignment.multipliers.0", lambda entries: entries[:2].clone(), "do not fit its 6 columns"),
        ("steps.7.alignment.multipliers.1", lambda entries: entries.fill_(-(2**31)), r"below 2\^31 in magnitude"),
        ("steps.7.alignment.multipliers.1", lambda entries: entries.double(), "int64"),
        ("steps.7.alignment.bias", lambda bias: bias.fill_(2**62), "beyond 4096 steps"),
        ("steps.8.alignments.1.multipliers.0", lambda entry: entry.repeat(2), "do not fit its 6 columns"),
        ("input.scale", lambda scale: scale.repeat(2, 2), "the input's scale"),
        ("input.scale", lambda scale: scale.repeat(6), "columns have scales of their own"),
    ],
)
def test_tensors_that_are_wrong_are_refused(saved: Path, name: str, change: Change, message: str) -> None:
    change_tensor(saved, name, change)
    with pytest.raises(ArtifactError, match=message):
        IntegerModel.load(saved)


def places(data: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if where:
        yield where
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, entry in entries:
        yield from places(entry, (*where, key))


def is_refused_or_executes(path: Path) -> None:
    with contextlib.suppress(InputError):
        IntegerModel.load(path)(features(GRAPH), GRAPH.edge_index, batch=GRAPH.batch)


@pytest.mark.parametrize("value", [None, -1, 10**20, "x", [], {}, float("nan")])
def test_whatever_one_entry_holds_nothing_else_than_input_errors_is_raised(saved: Path, value: Any) -> None:
    config = json.loads((saved / "integer_model.json").read_text())["model"]
    before = (saved / "integer_model.json").read_text()
    for where in list(places(config))[::5]:
        change_json(saved, ".".join(map(str, ("model", *where))), to(value))
        is_refused_or_executes(saved)
        (saved / "integer_model.json").write_text(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.flatten()[:0].clone(),
        lambda x: x.unsqueeze(0),
        lambda x: x.flatten().repeat(2),
        lambda x: x.to(torch.float32),
        lambda x: x.to(torch.int64),
        lambda x: torch.full_like(x, 127),
        torch.zeros_like,
    ],
)
def test_whatever_one_tensor_holds_nothing_else_than_input_errors_is_raised(
    saved: Path, change: Callable[[Tensor], Tensor]
) -> None:
    file = saved / "integer_model.safetensors"
    tensors = load_file(file)
    for name, tensor in tensors.items():
        save_file({**tensors, name: change(tensor)}, file)
        signed(saved, "integer_model")
        is_refused_or_executes(saved)


def test_missing_and_truncated_files_are_refused(frozen: IntegerModel, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no integer_model"):
        IntegerModel.load(tmp_path)
    frozen.save(tmp_path)
    for file in ("integer_model.safetensors", "integer_model.json"):
        content = (tmp_path / file).read_bytes()
        for tenth in range(10):
            (tmp_path / file).write_bytes(content[: len(content) * tenth // 10])
            with pytest.raises(ArtifactError, match="damaged"):
                IntegerModel.load(tmp_path)
        (tmp_path / file).write_bytes(content)
