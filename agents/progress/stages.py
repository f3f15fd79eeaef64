"""Progress on the screen, a bar for each stage of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mixq_rl.errors import InputError
from mixq_rl.training import loop

__all__ = ["Stages"]


class Stages:
    """A progress bar for each stage.

    Args:
        console: to draw on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def __call__(self, what: str, unit: str) -> Iterator[loop.Progress]:
        """Show a stage while the block lasts; a stage that fails leaves nothing on the screen but the error.

        Args:
            what: the stage does.
            unit: that it counts, if it tells of any progress.
        """
        columns = (
            _SpinnerColumn(),
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            _CountColumn(unit),
            _SpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with _Bars(*columns, console=self._console) as bars:
            bar = bars.add_task(what, total=None, counted=False, open=True)
            try:
                yield lambda done, total: bars.update(bar, completed=done, total=total, counted=True)
            except InputError:
                bars.live.transient = True
                raise
            if not bars.tasks[0].fields["counted"]:
                bars.update(bar, completed=1, total=1)
            bars.update(bar, open=False)


class _Bars(Progress):
    def stop(self) -> None:
        """End without the empty line that follows bars on other screens than a terminal, where none are to be left."""
        if self.live.transient:
            self.live.stop()
        else:
            super().stop()


class _SpinnerColumn(SpinnerColumn):
    """Spins until the stage has ended: what comes after the last of what it counts may take a while."""

    def render(self, task: Task) -> Text:
        frame = self.spinner.render(task.get_time())
        return frame if task.fields["open"] and isinstance(frame, Text) else Text(" ")


class _CountColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        counted = f"{task.completed:.0f}/{task.total:.0f} {self._unit}" if task.fields["counted"] else ""
        return Text(counted, style="progress.download")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = (task.finished_speed or task.speed) if task.fields["counted"] else None
        return Text(f"{speed:.0f}/s" if speed else "", style="progress.data.speed")
