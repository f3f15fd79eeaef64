"""Trains the policy of the package, and writes it to ``agents/ppo/pretrained``.

The policy learns on node and graph tasks, with four kinds of layers, two to five layers, two widths and two sets of
bit-widths. None of the tasks uses CiteSeer, PT or Facebook, the graphs of ``benchmarks/allocate.py``. Trained networks
are kept below ``--cache``, so that no network is trained twice:

    python benchmarks/pretrain.py --data-root data
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mixq_rl import PreparationCache
from mixq_rl.agents import EvaluatorConfig, PolicyPlan, train_policy
from mixq_rl.agents.progress.stages import Stages
from mixq_rl.agents.report.tables import policy_table

TARGET = Path(__file__).parent.parent / "agents" / "ppo" / "pretrained"
SIX_WIDTHS = (1, 2, 3, 4, 6, 8)


def tasks(data_root: str) -> list[EvaluatorConfig]:
    """Return what the policy learns on."""
    graphs, layers = ("citation", "Cora", "EN"), ("gcn", "sage", "gin", "gat")
    chosen = [EvaluatorConfig(dataset=dataset, model=model) for dataset in graphs for model in layers]
    chosen += [EvaluatorConfig(dataset=dataset, hidden_channels=16, seed=1) for dataset in graphs]
    chosen += [EvaluatorConfig(dataset="Cora", num_layers=depth) for depth in (3, 4, 5)]
    chosen += [EvaluatorConfig(dataset=dataset, bits=SIX_WIDTHS) for dataset in ("citation", "Cora")]
    chosen += [EvaluatorConfig(dataset=dataset, model="gin") for dataset in ("PROTEINS", "MUTAG")]
    return [replace(config, data_root=data_root) for config in chosen]


def main(
    run_dir: Annotated[Path, typer.Option(help="Folder of the run, new or empty.")] = Path("runs/pretrain"),
    cache: Annotated[Path, typer.Option(help="Folder of networks that were trained before.")] = Path("runs/prepared"),
    episodes: Annotated[int, typer.Option(help="Of each task.")] = 256,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    console = Console()
    plan = PolicyPlan(tuple(tasks(data_root)), episodes)
    reached = train_policy(plan, run_dir, Stages(console), PreparationCache(cache))
    console.print(policy_table(reached))
    for file in sorted((run_dir / "policy").iterdir()):
        TARGET.mkdir(exist_ok=True)
        shutil.copyfile(file, TARGET / file.name)


if __name__ == "__main__":
    typer.run(main)
