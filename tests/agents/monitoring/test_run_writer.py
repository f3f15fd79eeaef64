import resource
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from stable_baselines3.common.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixq_rl.agents.monitoring import RunWriter
from tests.agents.monitoring.server import tensorboard, wait_for


def write(writer: RunWriter, step: int) -> None:
    """Write one of everything."""
    writer.logger.record("some/scalar", step / 2)
    writer.logger.dump(step)
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, step])
    writer.figure("some/figure", figure, step)
    writer.text("some/text", f"**step {step}**", step)
    writer.histogram("some/histogram", [2, 2, 8], 8, step)


@pytest.mark.parametrize("load_fast", [False, True])
def test_what_a_killed_process_wrote_beyond_its_checkpoint_is_not_shown(tmp_path: Path, load_fast: bool) -> None:
    folder = tmp_path / "run"
    killed = RunWriter(folder)
    assert not killed.continues
    killed.layout({"some": {"chart": ["some/scalar"]}})
    for step in (10, 20, 30, 40):
        write(killed, step)
    killed.close()
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-9])  # killed within a record
    continued = RunWriter(folder, step=20)
    assert continued.continues
    for step in (25, 50):
        write(continued, step)
    continued.close()
    steps = [10, 20, 25, 50]
    with tensorboard(folder, load_fast=load_fast) as ask:
        of = {"run": "."}

        def scalars() -> list[list[float]]:
            tags = ask("plugin/scalars/tags").get(".", {})
            found = ask("plugin/scalars/scalars", tag="some/scalar", **of) if "some/scalar" in tags else []
            return [entry[1:] for entry in found] if found and found[-1][1] == 50 else []

        assert wait_for(scalars) == [[step, step / 2] for step in steps]
        images = wait_for(lambda: ask("plugin/images/images", tag="some/figure", **of))
        assert [image["step"] for image in images] == steps
        drawn = [ask(f"plugin/images/individualImage?{image['query']}") for image in images]
        assert all(image.startswith(b"\x89PNG") for image in drawn)
        assert len(set(drawn)) == 4
        texts = ask("plugin/text/text", tag="some/text", **of)
        assert [text["step"] for text in texts] == steps
        assert f"<strong>step {steps[-1]}</strong>" in texts[-1]["text"]
        assert [entry[1] for entry in ask("plugin/histograms/histograms", tag="some/histogram", **of)] == steps
        assert ask("plugin/custom_scalars/layout")["category"][0]["title"] == "some"


def test_what_is_not_for_tensorboard_is_left_out(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    assert isinstance(writer.logger, Logger)
    writer.logger.record("train/updates", 3, exclude="tensorboard")
    writer.logger.record("train/loss", 0.5)
    writer.logger.dump(7)
    events = EventAccumulator(str(tmp_path)).Reload()  # nothing waits to be written
    assert events.Tags()["scalars"] == ["train/loss"]
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(7, 0.5)]
    writer.close()


def test_histograms_count_what_occurs(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.histogram("bits", [8, 2, 4, 2, 2], 8, 1)
    writer.close()
    (event,) = EventAccumulator(str(tmp_path)).Reload().Histograms("bits")
    found = event.histogram_value
    counts = dict(zip(found.bucket_limit, found.bucket, strict=True))
    assert {limit - 0.5: count for limit, count in counts.items() if count} == {2: 3, 4: 1, 8: 1}
    assert (found.num, found.sum, found.sum_squares) == (5, 18, 92)


def test_a_full_disk_is_said_where_something_is_written(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.text("some/text", "long " * 100, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    write(writer, 2)  # there is room again: nothing of it is damaged
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Tensors("some/text")] == [1, 2]
    assert [event.step for event in events.Scalars("some/scalar")] == [2]
