"""Command ``mixq-rl export``: export of one network of a run."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import ended_run
from mixq_rl.agents.records.folder import RunFolder, finalist_path
from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.errors import InputError
from mixq_rl.integer.model import IntegerModel
from mixq_rl.integer.program import export_program
from mixq_rl.integer.size import ModelSize
from mixq_rl.printable import printable
from mixq_rl.storage.files import replacing_folder

__all__ = ["export"]

_PROGRAM, _ORIGIN = "program.pt2", "origin.json"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of mixq-rl train or transfer.")],
    folder: Annotated[Path, typer.Option("--output", help="Folder for the network, new or empty.")],
    point: Annotated[
        str, typer.Option(help="Network of the final table: best; N for agent N; or the name of a row: 'uniform 4'.")
    ] = "best",
    program: Annotated[
        bool, typer.Option("--program", help="Write a program of torch.export as well, program.pt2, with its checksum.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write one network of a finished run into a folder of its own, as safetensors and JSON with packed bits.

    mixq-rl predict and mixq_rl.IntegerModel.load execute the network. They do not need the packages for the search.

    Example: mixq-rl export runs/citation-gcn-seed0-20260101-120000 --output model

    Example: mixq-rl export runs/citation-gcn-seed0-20260101-120000 --point 1 --output model --program
    """
    with output(quiet, as_json) as out:
        source = ended_run(run)
        result = RunResult.load(source.result)
        chosen = _chosen(result, point)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{str(folder)!r} is not empty: name a new or empty folder with --output")
        if folder.exists() and folder.samefile(Path.cwd()):
            raise InputError(f"{str(folder)!r} is the present folder: name another with --output")
        network = IntegerModel.load(finalist_path(source.finalists, chosen.label))
        with replacing_folder(folder) as draft:
            network.save(draft)
            (draft / _ORIGIN).write_text(json.dumps(_origin(source, result, chosen), indent=2) + "\n")
            if program:
                torch.export.save(export_program(network), draft / _PROGRAM)
                digest = hashlib.sha256((draft / _PROGRAM).read_bytes()).hexdigest()
                (draft / f"{_PROGRAM}.sha256").write_text(f"{digest}  {_PROGRAM}\n")
        size = ModelSize.of(network, folder)
        out.say(
            f"{chosen.label} of {result.title}: {size.files:,} bytes, of which weights {size.weights:,}; in float32 "
            f"{size.float32:,}\nfolder: {printable(str(folder))}"
        )
        out.conclude(
            {
                "folder": str(folder),
                "point": chosen.label,
                **asdict(size),
                "program": str(folder / _PROGRAM) if program else None,
            }
        )


def _chosen(result: RunResult, point: str) -> Finalist:
    if point == "best":
        return result.best
    label = f"agent {point}" if point.isdecimal() else point
    known = {finalist.label: finalist for finalist in result.finalists[1:]}
    if label not in known:
        raise InputError(f"the run has no point {point!r}: it has best, {', '.join(known)}")
    return known[label]


def _origin(source: RunFolder, result: RunResult, chosen: Finalist) -> dict[str, object]:
    """Return the origin of a network: its run, allocation, accuracies and versions."""
    return {
        "title": result.title,
        "point": chosen.label,
        "allocation": dict(zip(result.components, chosen.evaluation.allocation, strict=True)),
        "metric": result.metric.name,
        "validation_accuracy": chosen.evaluation.accuracy,
        "test_accuracy": chosen.test_accuracy,
        "float32_test_accuracy": result.finalists[0].test_accuracy,
        "reduction": chosen.evaluation.reduction,
        "config": source.config,
        "packages": source.document["packages"],
        "commit": source.document["commit"],
    }
