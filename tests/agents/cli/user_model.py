"""A user's model in files of its own, for tests of the command."""

from pathlib import Path

import torch
from torch_geometric.nn import GCNConv

from tests.agents.cli.invoking import run, save_graph
from tests.conftest import make_task

__all__ = ["OPTIONS", "USER", "make_user_run", "write_model"]

NET = """
import torch
from layers import GCNConv

print("a word of the file")


class Net(torch.nn.Module):
    def __init__(self, num_features, num_classes):
        super().__init__()
        self.conv = GCNConv(num_features, num_classes)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)
"""
OPTIONS = ("--dataset", "graph.npz", "--episodes", "4", "--bits", "2,4", "--evaluator", "post-training")
USER = ("--model", "mine/net.py:Net", "--weights", "mine/model.pt")


class Net(torch.nn.Module):
    """The same model as that of the file."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.conv = GCNConv(num_features, num_classes)


def write_model(folder: Path) -> None:
    """Write ``mine/net.py``, a module beside it, and trained weights ``mine/model.pt``."""
    (folder / "mine").mkdir()
    (folder / "mine" / "net.py").write_text(NET)
    (folder / "mine" / "layers.py").write_text("from torch_geometric.nn import GCNConv\n")
    task = make_task()
    torch.manual_seed(0)
    net = Net(task.num_features, task.num_classes)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        logits = net.conv(task.x, task.edge_index)[task.masks["train"]]
        torch.nn.functional.cross_entropy(logits, task.y[task.masks["train"]]).backward()
        optimizer.step()
    torch.save(net.state_dict(), folder / "mine" / "model.pt")


def make_user_run(folder: Path) -> None:
    """Train with the user's model, into the folder ``run``."""
    save_graph(folder / "graph.npz")
    write_model(folder)
    run("train", *OPTIONS, *USER, "--run-dir", "run", "--quiet", cwd=folder, check=True)
