"""Options that several commands take."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli.config_file import read_config
from mixq_rl.agents.problem_config import ProblemConfig
from mixq_rl.datasets import datasets
from mixq_rl.errors import BitWidthError
from mixq_rl.evaluators import evaluators
from mixq_rl.nn import models
from mixq_rl.objective import Objective
from mixq_rl.quantization import schemes

__all__ = [
    "BITS",
    "CACHE",
    "Bits",
    "BitsList",
    "Cache",
    "ConfigFile",
    "DataRoot",
    "Dataset",
    "Datasets",
    "Device",
    "EvaluatorName",
    "Fold",
    "HiddenChannels",
    "Json",
    "Layers",
    "LayersList",
    "Model",
    "Models",
    "ObjectiveName",
    "Policy",
    "Quiet",
    "Resume",
    "RunDir",
    "SchemeName",
    "Seed",
    "among",
    "parse_bits",
]

_DATASET = (
    f"{', '.join(datasets)}; tu:NAME for another of TUDataset; or a path to your own graph or graphs (.npz, or .pt "
    "holding tensors)."
)
_MODEL = f"{', '.join(models)}."
_LAYERS, _USUAL_LAYERS = "Number of graph layers.", "2 to classify nodes; 4, of a gin 5, to classify graphs"
_BITS = "Bit-widths on offer, each within 1...8."
_SEVERAL = " May be given several times: one policy then learns on all combinations."


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what a shell offers to complete a name."""
    return lambda incomplete: [name for name in names if name.lower().startswith(incomplete.lower())]


BITS = ",".join(str(width) for width in ProblemConfig.bits)
Dataset = Annotated[str, typer.Option(help=_DATASET, autocompletion=among(datasets))]
Datasets = Annotated[list[str], typer.Option("--dataset", help=_DATASET + _SEVERAL, autocompletion=among(datasets))]
Fold = Annotated[
    int | None,
    typer.Option(
        help="Which of a dataset's splits, from 0, where it has several: of TUDataset, Chameleon, Squirrel and "
        "your own graphs 10, of CSL 5.",
        show_default="the first",
    ),
]
Model = Annotated[str, typer.Option(help=_MODEL, autocompletion=among(models))]
Models = Annotated[list[str], typer.Option("--model", help=_MODEL + _SEVERAL, autocompletion=among(models))]
Layers = Annotated[int | None, typer.Option(help=_LAYERS, show_default=_USUAL_LAYERS)]
LayersList = Annotated[list[int] | None, typer.Option("--layers", help=_LAYERS + _SEVERAL, show_default=_USUAL_LAYERS)]
HiddenChannels = Annotated[
    int | None,
    typer.Option(help="Width of the hidden layers.", show_default="64 or 128, as is usual for the model"),
]
Bits = Annotated[str, typer.Option(help=_BITS)]
BitsList = Annotated[list[str], typer.Option("--bits", help=_BITS + _SEVERAL)]
Cache = Annotated[
    Path,
    typer.Option(
        envvar="MIXQ_RL_CACHE",
        help="Folder of networks that were trained before, found by all that they follow from: none is trained twice.",
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a policy, or of the run that trained it.", show_default="the one that comes with the package"
    ),
]
CACHE = Path("runs/prepared")
ObjectiveName = Annotated[
    str,
    typer.Option(
        metavar=f"<{'|'.join(Objective)}>",
        autocompletion=among(Objective),
        help="What is to be saved: bit operations, or time. Time is measured on this machine under its present "
        "load, so that two runs of one seed differ.",
    ),
]
EvaluatorName = Annotated[
    str,
    typer.Option(
        metavar=f"<{'|'.join(evaluators)}>",
        autocompletion=among(evaluators),
        help="Whose weights the search judges an allocation by. supernet: one network's, trained once for all of "
        "them. fine-tune: its own, fine-tuned for a few epochs, which is slow. post-training: those of float32.",
    ),
]
SchemeName = Annotated[
    str,
    typer.Option(
        metavar=f"<{'|'.join(schemes)}>",
        autocompletion=among(schemes),
        help="Where scales come from. lsq: learned. a2q: several learned for a component, of which each node takes "
        "the nearest. The others follow the values in training, degree-quant with nodes protected by their degree.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks are trained and executed: cpu, cuda, cuda:1, or auto: a GPU if torch sees one.",
        autocompletion=among(("auto", "cpu", "cuda")),
    ),
]
Seed = Annotated[int, typer.Option(help="Of weights, training, search and fine-tuning.")]
DataRoot = Annotated[str, typer.Option(envvar="MIXQ_RL_DATA", help="Folder of the datasets' files.")]
RunDir = Annotated[
    Path | None,
    typer.Option(help="Folder for the results, new or empty.", show_default="runs/<dataset>-<model>-seed<seed>-<time>"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as one line of JSON; progress goes to standard error.")
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Go on with a run that was stopped, as if it had not been; it takes no other option of the run.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=read_config,
        help="Take options from a file, such as config.json of a run folder; those given beside it override it.",
    ),
]


def parse_bits(text: str) -> tuple[int, ...]:
    """Return the bit-widths in a list such as ``2,4,8``.

    Raises:
        BitWidthError: for anything else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BitWidthError(f"--bits {text!r} is not a list of whole numbers such as 2,4,8") from error
