"""The package as users import it, laid out for mkdocstrings.

pyproject.toml maps the folders envs/ and agents/ into mixq_rl. Griffe reads the sources for mkdocstrings, and does not
know such maps.
"""

import shutil
import tomllib
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "build" / "docs" / "sources"


@event_priority(100)  # before mkdocstrings, which passes over paths that are not there
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy the modules to where mkdocs.yml lets mkdocstrings look for them."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shutil.rmtree(SOURCES, ignore_errors=True)
    for package in setuptools["packages"]:
        folder = ROOT / _folder(package, setuptools["package-dir"])
        target = SOURCES / package.replace(".", "/")
        target.mkdir(parents=True)
        for path in folder.glob("*.py"):
            shutil.copy(path, target)
    return config


def _folder(package: str, mapped: dict[str, str]) -> str:
    if package in mapped:
        return mapped[package]
    parent, _, name = package.rpartition(".")
    return f"{_folder(parent, mapped)}/{name}"
