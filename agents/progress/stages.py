"""Progress bars on the screen, one for each stage of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from mixq_rl.errors import InputError
from mixq_rl.training import loop

__all__ = ["Stages"]

_NARROW = 72  # columns below which the bar, the unit and the times are left out


class Stages:
    """Stage that shows a progress bar.

    Args:
        console: console that shows the bars.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def __call__(self, what: str, unit: str) -> Iterator[loop.Progress]:
        """Show the bar of a stage while the block lasts. The bar of a stage that fails is removed.

        Args:
            what: title of the stage.
            unit: unit of its progress, such as ``"epochs"``; empty if it reports none.
        """
        with _Bars(*self._columns(unit), console=self._console) as bars:
            bar = bars.add_task(what, total=None, counted=False, open=True)
            try:
                yield lambda done, total: bars.update(bar, completed=done, total=total, counted=True)
            except InputError:
                bars.live.transient = True
                raise
            if not bars.tasks[0].fields["counted"]:
                bars.update(bar, completed=1, total=1)
            bars.update(bar, open=False)

    def _columns(self, unit: str) -> tuple[ProgressColumn, ...]:
        if self._console.width < _NARROW:
            return _SpinnerColumn(), _CountColumn(""), TextColumn("{task.description}", markup=False)
        return (
            _SpinnerColumn(),
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            _CountColumn(unit),
            _SpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )


class _Bars(Progress):
    def stop(self) -> None:
        """End without rich's empty line after removed bars on consoles that are not a terminal."""
        if self.live.transient:
            self.live.stop()
        else:
            super().stop()


class _SpinnerColumn(SpinnerColumn):
    """Spins until the stage has ended, because a stage may take a while after its last count."""

    def render(self, task: Task) -> Text:
        frame = self.spinner.render(task.get_time())
        return frame if task.fields["open"] and isinstance(frame, Text) else Text(" ")


class _CountColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        counted = f"{task.completed:.0f}/{task.total:.0f} {self._unit}".rstrip() if task.fields["counted"] else ""
        return Text(counted, style="progress.download")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = (task.finished_speed or task.speed) if task.fields["counted"] else None
        return Text(f"{speed:.0f}/s" if speed else "", style="progress.data.speed")
