"""An environment that has the wheel and what it requires, and nothing of its extras."""

import os
import subprocess
import sysconfig
import venv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip.

    Attributes:
        python: its interpreter.
        packages: where its packages are.
    """

    python: Path
    packages: Path

    def run(self, *arguments: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run its interpreter, which sees no packages but its own."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        result = subprocess.run(
            [self.python, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0 or not check, result.stderr
        return result


def make_environment(folder: Path, wheel: Path) -> None:
    """Make an environment of a wheel and the distributions that it requires; these are links to the ones here."""
    venv.create(folder, symlinks=os.name == "posix")
    packages = environment_in(folder).packages
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (own,) = metadata.distributions(path=[str(packages)])
    for distribution in required(own):
        for file in distribution.files or ():
            if ".." not in file.parts:  # commands
                link = packages / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(distribution.locate_file(file))


def environment_in(folder: Path) -> Environment:
    """Return the environment that was made in a folder."""
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"]) / ("python" if os.name == "posix" else "python.exe")
    return Environment(python, Path(paths["purelib"]))


def required(distribution: metadata.Distribution) -> list[metadata.Distribution]:
    """Return the distributions that one requires, and those that they require, in any order."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(requirements(distribution))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = metadata.distribution(name)
            waiting += requirements(found[name])
        if requirement.extras:
            waiting += requirements(found[name], sorted(requirement.extras))
    return list(found.values())


def requirements(distribution: metadata.Distribution, extras: Sequence[str] = ("",)) -> Iterator[Requirement]:
    """Yield what a distribution requires here, by itself (the extra ``""``) or for extras."""
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None:
            if "" in extras:
                yield requirement
        elif any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement
