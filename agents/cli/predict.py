"""Command ``mixq-rl predict``: execution of an integer network."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.table import Table

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.answers import Answers
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import ended_run
from mixq_rl.agents.quantities import bit_operations, milliseconds, percent
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.datasets import PredictionInputs, load_prediction_inputs
from mixq_rl.datasets.graph_folder import FOLDER_SUFFIX
from mixq_rl.datasets.metrics import Metric, metrics
from mixq_rl.datasets.prediction_inputs import StoredInputs, open_stored_inputs
from mixq_rl.devices import resolve_device
from mixq_rl.errors import InputError
from mixq_rl.integer.model import IntegerModel
from mixq_rl.integer.streaming import stream
from mixq_rl.metering import OpMeter
from mixq_rl.printable import printable
from mixq_rl.storage.files import replacing_file

__all__ = ["load_model", "predict"]


@options_of(EvaluatorConfig, only=("dataset", "fold", "data_root", "device"))
def predict(
    *,
    model: Annotated[Path, typer.Argument(help="Folder of an integer network, or of the run that found it.")],
    given: Given[EvaluatorConfig],
    output_file: Annotated[
        Path | None,
        typer.Option("--output", help="CSV file for the classes or labels, with a row for each node or graph."),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Predict the classes or labels of the nodes of a graph, or of graphs, with an integer network.

    The graphs may be new to the network, and one in a folder (.csr) may be larger than memory. They are measured by the
    metric that the network was chosen by, if they have labels. Classes have the names that they had in the data that
    the network was trained on. A network of several labels predicts those of a probability above one half.

    Example: mixq-rl predict model --dataset graph.npz --output classes.csv
    """
    with output(quiet, as_json) as out:
        asked = given.config()
        place = resolve_device(asked.device)
        network = load_model(model, place)
        inputs = _inputs(asked).renamed(network.classes)
        if network.classifies_graphs != (inputs.noun == "graph"):
            other = "node" if inputs.noun == "graph" else "graph"
            remedy = "leave batch out" if other == "node" else "give batch, the graph of each node"
            raise InputError(
                f"{inputs.name} asks about {inputs.noun}s, and this network answers for {other}s: {remedy}"
            )
        if inputs.weighted and not network.takes_edge_weight:
            out.say(f"the edge weights of {inputs.name} are left out: this network has no use for any")
        metric = metrics[network.metric]
        inputs.check(metric, network.signatures[-1].columns)
        answers = Answers(network, inputs, keeps=as_json and output_file is None)
        with OpMeter() as meter, nullcontext() if output_file is None else replacing_file(output_file) as file:
            for rows, logits in _logits(network, inputs, place):
                answers.append(rows, logits.cpu(), file)
        scores = answers.scores(metric)
        if scores:
            out.show(_table(scores, metric))
        out.say(
            f"{answers.count} {inputs.noun}s of {inputs.name}: {bit_operations(meter.bitops('linear'))} bit "
            f"operations (linear) in {milliseconds(meter.seconds, 1)} ms on {place.type}"
        )
        if output_file is not None:
            out.say(f"{'labels' if network.multi_label else 'classes'}: {printable(str(output_file))}")
        out.conclude(
            {
                "metric": metric.name,
                "accuracies": scores,
                "answered": answers.count,
                "bitops": meter.bitops("linear"),
                "product_bitops": meter.bitops("product"),
                "seconds": meter.seconds,
                **answers.kept,
            }
        )


def _inputs(asked: EvaluatorConfig) -> PredictionInputs | StoredInputs:
    if Path(asked.dataset).suffix.lower() == FOLDER_SUFFIX:
        return open_stored_inputs(asked.dataset, fold=asked.fold)
    return load_prediction_inputs(asked.dataset, asked.data_root, fold=asked.fold)


def _logits(
    network: IntegerModel, inputs: PredictionInputs | StoredInputs, place: torch.device
) -> Iterator[tuple[range, torch.Tensor]]:
    """Yield the nodes or graphs and their logits: all at once, or block by block of a graph in a folder."""
    if isinstance(inputs, StoredInputs):
        yield from stream(network, inputs.x, inputs.edges)
        return
    there = inputs.to(place)
    weight = there.edge_weight if network.takes_edge_weight else None
    logits = network(there.x, there.edge_index, weight, there.batch)
    yield range(len(logits)), logits


def load_model(path: Path, device: torch.device | str = "cpu") -> IntegerModel:
    """Return the integer network in a folder, or the best network of a run, on a device.

    Raises:
        InputError: for a run that has not ended, or that has no network.
        ArtifactError: if the network is missing or damaged.
    """
    if path.is_file():
        raise InputError(f"{str(path)!r} is a file: name the folder of an integer network, or of a run")
    is_run = (path / "config.json").is_file()
    return IntegerModel.load(ended_run(path).model if is_run else path, device)


def _table(scores: Mapping[str, float], metric: Metric) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("split")
    table.add_column(f"{metric.title} in %", justify="right")
    for split, score in scores.items():
        table.add_row(split, percent(score, 2, sign=False))
    return table
