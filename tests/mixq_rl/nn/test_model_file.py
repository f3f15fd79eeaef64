"""A user's model from a Python file."""

import sys
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn.model_file import ModelFile

LAYERS = """
from torch_geometric.nn import GCNConv
HIDDEN = 8
"""
NET = """
import torch
from layers import GCNConv, HIDDEN

print("a word of the file")


class Net(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.first = GCNConv(in_channels, HIDDEN)
        self.second = GCNConv(HIDDEN, num_classes)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with a model and a module that it imports."""
    monkeypatch.chdir(tmp_path)
    Path("layers.py").write_text(LAYERS)
    Path("net.py").write_text(NET)
    return tmp_path


def write(text: str) -> None:
    """Write a file that makes the network in some other way."""
    Path("made.py").write_text(f"from net import Net\n{text}\n")


def test_a_class_is_given_the_sizes_that_it_names(task: GraphTask) -> None:
    model = mixq_rl.load_model("net.py:Net", task)
    assert [component.name for component in model.components if component.kind == "weight"] == [
        "first.weight",
        "second.weight",
    ]
    assert model(task.x, task.edge_index).shape == (task.num_nodes, task.num_classes)


@pytest.mark.parametrize(
    "text",
    [
        "def make(task): return Net(task.num_features, task.num_classes)",
        "def make(anything): return Net(anything.num_features, anything.num_classes)",
        "def make(task=None): return Net(task.num_features, task.num_classes)",
        "def make(num_features, /, *, out_channels, width=3): return Net(num_features, out_channels)",
        "def make(*args, **kwargs): return Net(FEATURES, CLASSES)",
        "make = lambda: Net(FEATURES, CLASSES)",
        "make = Net(FEATURES, CLASSES)",
        "import functools\nmake = functools.partial(Net, num_classes=CLASSES)",
        "class make(Net):\n    def __init__(self): super().__init__(FEATURES, CLASSES)",
        "import mixq_rl\ndef make(task): return mixq_rl.prepare(Net(task.num_features, task.num_classes), task)",
        "import mixq_rl\ndef make(task): return mixq_rl.build_model('gcn', task, hidden_channels=8)",
        "import torch\ndef make(task):\n    return torch.nn.Sequential(torch.nn.Linear(FEATURES, CLASSES))",
    ],
)
def test_what_makes_a_model(task: GraphTask, text: str) -> None:
    write(text.replace("FEATURES", str(task.num_features)).replace("CLASSES", str(task.num_classes)))
    model = mixq_rl.load_model("made.py:make", task)
    assert isinstance(model, mixq_rl.QuantizableModel)
    assert model.components
    assert model(task.x, task.edge_index).shape == (task.num_nodes, task.num_classes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(a, b): ...", "made.py:make takes a, b, which are not known: write a function make_model\\(task\\)"),
        ("make = 3", "made.py:make is of type int, no class or function: write a function"),
        ("def make(): return {}", "made.py:make returns an object of type dict, not a torch.nn.Module"),
        ("def maker(): ...", "model file 'made.py' has no 'make': did you mean 'maker'\\?"),
        ("something_else = 1", "model file 'made.py' has no 'make': (did you mean|write a function)"),
        ("def make(task):\n    return 1 / 0", "^made.py, line 3: ZeroDivisionError: division by zero$"),
        ("import torch\ndef make(task):\n    torch.ones(2) @ torch.ones(3)", "^made.py, line 4: RuntimeError: "),
        ("raise KeyError('a\\nb')", "^made.py, line 2: KeyError: 'a.*b'$"),
        ("raise Exception", "^made.py, line 2: Exception$"),
        ("import sys\nsys.exit()", "^made.py, line 3: the file ends the program \\(sys.exit\\): put what is not"),
        ("def make(:", "^made.py, line 2: SyntaxError: "),
        ("x = '\0'", "^made.py: SyntaxError: source code string cannot contain null bytes"),
        ("from .base import Net", "^made.py, line 2: ImportError: .*: modules beside the file are imported by name"),
        ("import nowhere", "^made.py, line 2: ModuleNotFoundError: No module named 'nowhere'$"),
        ("from broken import x", "broken.py, line 2: RuntimeError: deep$"),
        ("def make(task): return Net(task.num_features, 1)", "the model gives logits of shape"),
        ("def make(task): return Net(3, task.num_classes)", "the model cannot be run on task"),
    ],
)
def test_mistakes_are_said_in_one_line(task: GraphTask, text: str, message: str) -> None:
    Path("broken.py").write_text("\nraise RuntimeError('deep')")
    write(text)
    with pytest.raises(InputError, match=message) as raised:
        mixq_rl.load_model("made.py:make", task)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["net.py", "net:Net", "net.py:", "net.py:a.b", ":Net", "net.py:1"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"names no class or function in a Python file: write it as net\.py:Net"):
        ModelFile.parse(text)


def test_a_path_may_have_colons() -> None:
    assert ModelFile.parse("C:/a:b/net.py:Net") == ModelFile(Path("C:/a:b/net.py"), "Net")
    assert ModelFile.parse("C:/a:b/net.py:Net").label == "net.py:Net"


def test_files_that_are_none_are_refused(task: GraphTask) -> None:
    Path("folder.py").mkdir()
    for name, message in (("none.py", "'none.py' does not exist"), ("folder.py", "is a folder, not a file")):
        with pytest.raises(InputError, match=message):
            mixq_rl.load_model(f"{name}:Net", task)


def test_nothing_is_left_behind(task: GraphTask, capsys: pytest.CaptureFixture[str]) -> None:
    mixq_rl.load_model("net.py:Net", task)  # what is imported later is the package's own
    modules, path = set(sys.modules), list(sys.path)
    mixq_rl.load_model("net.py:Net", task)
    write("import layers\nraise RuntimeError")
    with pytest.raises(InputError):
        mixq_rl.load_model("made.py:make", task)
    assert (set(sys.modules), sys.path) == (modules, path)
    assert not {"net", "layers"} & modules
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "a word of the file\n" * 3)


def test_files_in_two_folders_have_modules_of_their_own(task: GraphTask, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "net.py").write_text(NET)
    (other / "layers.py").write_text(LAYERS.replace("8", "12"))
    (folder / "link.py").symlink_to(other / "net.py")  # its modules lie beside the file itself
    shapes = [
        mixq_rl.load_model(name, task).components[1].shape[1]
        for name in ("net.py:Net", "other/net.py:Net", "link.py:Net")
    ]
    assert shapes == [8, 12, 12]


def test_a_model_of_graphs(graph_task: GraphTask) -> None:
    Path("pooled.py").write_text(
        """
import torch
from layers import GCNConv
from torch_geometric.nn import global_mean_pool


class Net(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv = GCNConv(in_channels, 8)
        self.lin = torch.nn.Linear(8, num_classes)

    def forward(self, x, edge_index, batch):
        return self.lin(global_mean_pool(self.conv(x, edge_index).relu(), batch))
"""
    )
    model = mixq_rl.load_model("pooled.py:Net", graph_task)
    inputs = graph_task.inputs("validation")
    assert model(inputs.x, inputs.graph).shape == (inputs.y.shape[0], graph_task.num_classes)


def test_the_seed_gives_the_weights(task: GraphTask) -> None:
    def logits(seed: int) -> torch.Tensor:
        result: torch.Tensor = mixq_rl.load_model("net.py:Net", task, seed=seed)(task.x, task.edge_index)
        return result

    state = torch.get_rng_state()
    assert torch.equal(logits(0), logits(0))
    assert not torch.equal(logits(0), logits(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_package_that_was_imported_before_stays(task: GraphTask) -> None:
    """The folder of a file may hold a clone of this package."""
    Path("mixq_rl").mkdir()
    write("import mixq_rl.nn.prepare\ndef make(task): return Net(task.num_features, task.num_classes)")
    before = sys.modules["mixq_rl.nn.prepare"]
    mixq_rl.load_model("made.py:make", task)
    assert sys.modules["mixq_rl.nn.prepare"] is before
