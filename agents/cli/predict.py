"""Command ``mixq-rl predict``: execution of an integer network."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.table import Table

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import ended_run
from mixq_rl.agents.quantities import bit_operations, milliseconds, percent
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.datasets import load_prediction_inputs
from mixq_rl.devices import resolve_device
from mixq_rl.errors import InputError
from mixq_rl.integer.model import IntegerModel
from mixq_rl.metering import OpMeter
from mixq_rl.printable import printable
from mixq_rl.storage.files import replace_file

__all__ = ["load_model", "predict"]


@options_of(EvaluatorConfig, only=("dataset", "fold", "data_root", "device"))
def predict(
    *,
    model: Annotated[Path, typer.Argument(help="Folder of an integer network, or of the run that found it.")],
    given: Given[EvaluatorConfig],
    output_file: Annotated[
        Path | None, typer.Option("--output", help="CSV file for the classes, with a row for each node or graph.")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Predict the classes of the nodes of a graph, or of graphs, with an integer network.

    The graphs may be new to the network. For a file without labels (.npz or .pt) no accuracy is printed. Classes have
    the names that they had in the data that the network was trained on.

    Example: mixq-rl predict model --dataset graph.npz --output classes.csv
    """
    with output(quiet, as_json) as out:
        asked = given.config()
        place = resolve_device(asked.device)
        network = load_model(model, place)
        inputs = load_prediction_inputs(asked.dataset, asked.data_root, fold=asked.fold).renamed(network.classes)
        if network.classifies_graphs != (inputs.noun == "graph"):
            other = "node" if inputs.noun == "graph" else "graph"
            raise InputError(f"{inputs.name} asks about {inputs.noun}s, and this network answers for {other}s")
        there = inputs.to(place)
        weight = there.edge_weight if network.takes_edge_weight else None
        if weight is None and there.edge_weight is not None:
            out.say(f"the edge weights of {inputs.name} are left out: this network has no use for any")
        with OpMeter() as meter:
            logits = network(there.x, there.edge_index, weight, there.batch)
        answers = logits.argmax(dim=1).cpu()
        classes = answers.tolist() if network.classes is None else [network.classes[answer] for answer in answers]
        if output_file is not None:
            replace_file(output_file, _csv(inputs.noun, classes))
        accuracies = inputs.accuracies(answers)
        if accuracies:
            out.show(_table(accuracies))
        out.say(
            f"{answers.numel()} {inputs.noun}s of {inputs.name}: {bit_operations(meter.bitops('linear'))} bit "
            f"operations (linear) in {milliseconds(meter.seconds, 1)} ms on {place.type}"
        )
        if output_file is not None:
            out.say(f"classes: {printable(str(output_file))}")
        out.conclude(
            {
                "accuracies": accuracies,
                "answered": answers.numel(),
                "bitops": meter.bitops("linear"),
                "product_bitops": meter.bitops("product"),
                "seconds": meter.seconds,
                **({} if output_file is not None else {"classes": classes}),
            }
        )


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


def _csv(noun: str, classes: Sequence[int | str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([noun, "class"])
    writer.writerows(enumerate(classes))
    return text.getvalue()


def _table(accuracies: Mapping[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("split")
    table.add_column("accuracy in %", justify="right")
    for split, accuracy in accuracies.items():
        table.add_row(split, percent(accuracy, 2, sign=False))
    return table
