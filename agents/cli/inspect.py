"""Command ``mixq-rl inspect``: what a graph holds, and what that means for a quantized network."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.finding import FindingRow, findings_table
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.datasets.catalogue import find_task
from mixq_rl.datasets.file import SUFFIXES, read_graph
from mixq_rl.datasets.finding import Finding
from mixq_rl.datasets.inspection import inspect_arrays, inspect_task
from mixq_rl.errors import InvalidGraphError

__all__ = ["examine", "inspect"]


@options_of(EvaluatorConfig, only=("data_root", "fold", "bits"))
def inspect(
    *,
    graph: Annotated[str, typer.Argument(metavar="GRAPH", help="Name of a dataset, or path of a file.")],
    given: Given[EvaluatorConfig],
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Look at a graph before training: features, edges, labels and splits, and what they mean for quantization.

    A graph that training refuses is looked at, too, as far as its features and edges can be read.

    Example: mixq-rl inspect graph.npz

    Example: mixq-rl inspect Cora --data-root data --bits 2,4,8
    """
    config = given.config(dataset=graph)
    with output(quiet, as_json) as out:
        found = list(examine(config))
        out.show(findings_table(FindingRow(item.matters, item.subject, item.found, item.meaning) for item in found))
        count = sum(item.matters for item in found)
        out.say(f"{graph}: {f'{count} of {len(found)} findings matter' if count else 'no finding matters'}")
        out.conclude({"graph": graph, "findings": [asdict(item) for item in found]})


def examine(config: EvaluatorConfig) -> Iterator[Finding]:
    """Yield findings about the dataset of a configuration, with what was done to the data of a file.

    Raises:
        InputError: if it cannot be read.
    """
    path = Path(config.dataset)
    try:
        task = find_task(config.dataset, config.data_root, config.fold)
    except InvalidGraphError as error:
        if path.suffix.lower() not in SUFFIXES:
            raise
        arrays = read_graph(path, ("x", "edge_index"), checked=False)
        yield Finding("refused", str(error).removeprefix(f"{arrays.name}: "), "no network can be trained on it", True)
        yield from inspect_arrays(arrays.x, arrays.edge_index, arrays.edge_weight, config.bits)
        return
    for note in task.notes:
        yield Finding("reading", note)
    yield from inspect_task(task, config.bits)
