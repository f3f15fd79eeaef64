import json
import subprocess
from pathlib import Path

import mixq_rl
from mixq_rl.kernels import backends
from mixq_rl.machine import describe_machine, git_commit, package_versions

ROOT = Path(__file__).parent.parent.parent


def test_the_machine_is_described_in_plain_values() -> None:
    described = json.loads(json.dumps(describe_machine()))
    assert described["kernels"] in backends()
    assert described["threads"] >= 1
    assert described["processor"]
    assert set(described) >= {"python", "system", "cores", "gpu"}


def test_versions_name_what_is_installed() -> None:
    versions = package_versions()
    assert versions["mixq-rl"] == mixq_rl.__version__
    assert versions["torch"]


def test_the_commit_is_that_of_the_checkout() -> None:
    commit = git_commit()
    if not (ROOT / ".git").exists():
        assert commit is None
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    assert commit in (head.stdout.strip(), f"{head.stdout.strip()}-dirty")
