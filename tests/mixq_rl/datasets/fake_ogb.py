"""Stand-ins for the datasets of ogb, which need not be installed and would ask for downloads."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset


class FakeDataset(InMemoryDataset):
    """Base class of the stand-ins. It loads what it has saved itself, as ogb's classes do."""

    def __init__(self, name: str, root: str) -> None:
        self.wanted = name
        super().__init__(str(Path(root) / name.replace("-", "_")))
        self.data, self.slices = torch.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        return ["edge.csv.gz"]

    @property
    def processed_file_names(self) -> str:
        return "geometric_data_processed.pt"

    def made(self) -> list[Data]:
        """Return the graphs of the dataset."""
        raise NotImplementedError

    def process(self) -> None:
        torch.save(self.collate(self.made()), self.processed_paths[0])


def install(monkeypatch: pytest.MonkeyPatch, module: str, name: str, dataset: type[FakeDataset]) -> None:
    """Let ``from ogb.<module> import <name>`` give a stand-in."""
    fake = ModuleType(f"ogb.{module}")
    setattr(fake, name, dataset)
    monkeypatch.setitem(sys.modules, "ogb", ModuleType("ogb"))
    monkeypatch.setitem(sys.modules, f"ogb.{module}", fake)
