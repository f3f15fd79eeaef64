"""Policies on disk: what a stranger sends can be wrong, but cannot run anything."""

import json
import pickle
import pickletools
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mixq_rl
from mixq_rl.agents import PPOAgent
from mixq_rl.agents.records.policy_record import PolicyRecord
from mixq_rl.envs import FEATURES, BitAllocationEnv
from mixq_rl.errors import ArtifactError
from tests.conftest import MakeOnce
from tests.hostile.mutations import signed
from tests.lookup_table import LookupTable


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (f"open({str(self._sprung)!r}, 'w').close()",)


def make_policy(folder: Path) -> None:
    agent = PPOAgent(BitAllocationEnv(LookupTable()), seed=0).learn(8)
    agent.record = PolicyRecord(({"task": "a table", "swept": 1.0},))
    agent.save(folder)


@pytest.fixture
def policy(make_once: MakeOnce, tmp_path: Path) -> Path:
    return shutil.copytree(make_once("policy-of-a-table", make_policy), tmp_path / "policy")


def test_the_file_says_what_it_is(policy: Path) -> None:
    described = json.loads((policy / "policy.json").read_text())
    assert described["format"] == "mixq_rl/policy"
    assert described["features"] == list(FEATURES)
    assert described["bit_features"] == ["log_place", "place", "log_bits", "sqnr", "bitops_saved", "log_bitops"]
    assert described["tasks"] == [{"task": "a table", "swept": 1.0}]
    assert described["mixq_rl"] == mixq_rl.__version__
    assert described["observation"] == 2
    assert described["widths"] == [64, 64]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "mixq_rl/integer_model"}, "is not a mixq_rl policy"),
        ({"version": 7}, "format version 7"),
        ({"observation": 0}, "version 0 of the observation; this version of mixq_rl gives version 2"),
        ({"features": ["a"]}, "trained on other observations"),
        ({"bit_features": ["bits"]}, "trained on other observations"),
        ({"observation": True}, "version True of the observation"),
        ({"tasks": "x"}, "does not say what tasks"),
        ({"widths": [64, 10**9]}, "names no valid widths"),
        ({"widths": "64"}, "names no valid widths"),
        ({"widths": [4096] * 16}, "does not fit its description"),
        ({"widths": [64]}, "does not fit its description"),
        ({"widths": [64, 64, 64]}, "does not fit its description"),
    ],
)
def test_wrong_descriptions_are_refused(policy: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((policy / "policy.json").read_text())
    (policy / "policy.json").write_text(json.dumps({**config, **change}))
    signed(policy, "policy")
    with pytest.raises(ArtifactError, match=message):
        PPOAgent.load(policy)


def test_wrong_tensors_are_refused(policy: Path) -> None:
    file = policy / "policy.safetensors"
    tensors = load_file(file)
    for name in tensors:
        save_file({**tensors, name: tensors[name] * float("nan")}, file)
        signed(policy, "policy")
        with pytest.raises(ArtifactError, match="not finite"):
            PPOAgent.load(policy)
        save_file({**tensors, name: tensors[name] + 1e30}, file)
        signed(policy, "policy")
        with pytest.raises(ArtifactError, match="absurdly large"):
            PPOAgent.load(policy)
        for dtype in (torch.float64, torch.int8, torch.complex64, torch.float8_e4m3fn):
            save_file({**tensors, name: tensors[name].to(dtype)}, file)
            signed(policy, "policy")
            with pytest.raises(ArtifactError, match=r"not as torch\.float32"):
                PPOAgent.load(policy)
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, file)
        signed(policy, "policy")
        with pytest.raises(ArtifactError, match="does not fit its description"):
            PPOAgent.load(policy)
        save_file({**tensors, name: torch.zeros(3, 5, 7)}, file)
        signed(policy, "policy")
        with pytest.raises(ArtifactError, match="does not fit its description"):
            PPOAgent.load(policy)


def test_the_record_goes_where_the_policy_goes(policy: Path, tmp_path: Path) -> None:
    loaded = PPOAgent.load(policy)
    loaded.save(tmp_path / "again")
    assert PPOAgent.load(tmp_path / "again").record == loaded.record != PolicyRecord()
    assert PPOAgent(BitAllocationEnv(LookupTable()), start=loaded).record == PolicyRecord()


def test_a_file_cut_short_anywhere_is_refused(policy: Path) -> None:
    for name in ("policy.safetensors", "policy.json"):
        whole = (policy / name).read_bytes()
        for tenth in range(10):
            (policy / name).write_bytes(whole[: len(whole) * tenth // 10])
            with pytest.raises(ArtifactError, match=r"damaged|is not a mixq_rl policy"):
                PPOAgent.load(policy)
        (policy / name).unlink()
        with pytest.raises(ArtifactError, match="is missing"):
            PPOAgent.load(policy)
        (policy / name).write_bytes(whole)
    PPOAgent.load(policy)


def test_pickles_are_not_opened(policy: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = pickle.dumps(Trap(sprung))
    assert "REDUCE" in {operation.name for operation, _, _ in pickletools.genops(trap)}, "it calls what it names"
    zipped = tmp_path / "zipped"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("policy/data.pkl", trap)
        archive.writestr("policy/version", "3")
    torch.save(Trap(sprung), tmp_path / "saved")
    whole = {name: (policy / name).read_bytes() for name in ("policy.safetensors", "policy.json")}
    for content in (trap, zipped.read_bytes(), (tmp_path / "saved").read_bytes()):
        for name in whole:
            (policy / name).write_bytes(content)
            with pytest.raises(ArtifactError, match="damaged"):
                PPOAgent.load(policy)
            (policy / name).write_bytes(whole[name])
    assert not sprung.exists()


def test_a_gigabyte_that_a_header_claims_is_not_believed(policy: Path) -> None:
    claimed = 2**30
    entry = {"dtype": "F32", "shape": [claimed // 4], "data_offsets": [0, claimed]}
    header = json.dumps({"mlp_extractor.scorer.state.weight": entry}).encode()
    file = policy / "policy.safetensors"
    for length, rest in ((len(header), b"\0" * 64), (claimed, b"")):
        file.write_bytes(struct.pack("<Q", length) + header + rest)
        with pytest.raises(ArtifactError, match="damaged"):
            PPOAgent.load(policy)


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.json"])
def test_a_file_far_larger_than_any_policy_is_not_read(policy: Path, name: str) -> None:
    with (policy / name).open("r+b") as file:
        file.truncate(2**30)  # takes no space on the disk
    with pytest.raises(ArtifactError, match=r"has 1,073,741,824 bytes where at most [0-9,]+ are read"):
        PPOAgent.load(policy)


def test_allocates_the_same_in_another_process_without_the_native_kernels(policy: Path) -> None:
    program = (
        "import sys; sys.modules['mixq_rl.kernels._cpu'] = None\n"
        "from mixq_rl.agents import PPOAgent\n"
        "from tests.lookup_table import LookupTable\n"
        f"agent = PPOAgent.load({str(policy)!r})\n"
        "print([agent.allocate(LookupTable(), w / 8) for w in range(9)], agent.sweep(LookupTable()))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    agent = PPOAgent.load(policy)
    table = LookupTable()
    assert done.stdout.strip() == f"{[agent.allocate(table, w / 8) for w in range(9)]} {agent.sweep(table)}"
