"""Writer of a run's TensorBoard file."""

import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from stable_baselines3.common.logger import KVWriter, Logger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.text import metadata as text
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

__all__ = ["RunWriter"]

_FORMAT = "brain.Event:2"
_DOTS_PER_INCH = 130
_RGBA = 4


class RunWriter(KVWriter):
    """Writes scalars, figures, texts, histograms, data of plugins, and a layout into one file of events.

    Scalars come through :attr:`logger`: PPO and a monitor record them, and both are written together at one step.
    Stable-Baselines3's own writer cannot write the other kinds. An event is in the file when the call returns: a killed
    process loses no event, and a full disk raises ``OSError`` at the call that writes.

    A killed process may have written events after its last checkpoint. The process that resumes there writes them
    again; given the checkpoint's step, it makes TensorBoard drop the earlier ones.

    Args:
        folder: of the run; created if it does not exist.
        step: of the checkpoint that the run resumes from. Events of earlier processes at later steps are not shown.
            0: the run begins, and no earlier event is shown.

    Attributes:
        logger: Stable-Baselines3's logger, which writes to this file.
        continues: whether events of an earlier process are shown; events that are written once, at step 0, then exist.

    Raises:
        OSError: if the file cannot be written, now or later.
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        self._file = (folder / f"events.out.tfevents.{time.time_ns():020d}").open("xb")
        self._records = RecordWriter(self._file)
        self.logger = Logger(folder=str(folder), output_formats=[self])
        self.continues = step > 0
        first_forgotten = step + 1 if self.continues else 0
        self._write(Event(file_version=_FORMAT))
        self._write(Event(step=first_forgotten, session_log=SessionLog(status=SessionLog.START)))

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Write the recorded scalars; :attr:`logger` calls this."""
        scalars = [
            Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in key_values.items()
            if "tensorboard" not in key_excluded[tag]
        ]
        if scalars:
            self._write(Event(step=step, summary=Summary(value=scalars)))

    def figure(self, tag: str, figure: Figure, step: int) -> None:
        """Write a figure as an image."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
        width, height = (round(_DOTS_PER_INCH * inches) for inches in figure.get_size_inches())
        image = Summary.Image(height=height, width=width, colorspace=_RGBA, encoded_image_string=buffer.getvalue())
        self._summarize(Summary.Value(tag=tag, image=image), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text in Markdown."""
        described = text.create_summary_metadata(display_name="", description="")
        self._summarize(Summary.Value(tag=tag, metadata=described, tensor=make_tensor_proto(markdown)), step)

    def histogram(self, tag: str, values: Sequence[int], largest: int, step: int) -> None:
        """Write how often each whole number occurs.

        Args:
            tag: of the histogram.
            values: at least one, each from 1 to ``largest``.
            largest: largest possible value.
            step: of the search.
        """
        occurrences, numbers = Counter(values), range(1, largest + 1)
        histogram = HistogramProto(
            # TensorBoard takes these two as the edges of the outermost bins that are not empty.
            min=min(values) - 0.5,
            max=max(values) + 0.5,
            num=len(values),
            sum=sum(values),
            sum_squares=sum(value * value for value in values),
            bucket_limit=[number + 0.5 for number in numbers],
            bucket=[occurrences[number] for number in numbers],
        )
        self._summarize(Summary.Value(tag=tag, histo=histogram), step)

    def layout(self, charts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Write the layout of the tab of custom scalars: tags by category and chart, as regular expressions."""
        layout = layout_pb2.Layout(
            category=[
                layout_pb2.Category(
                    title=category,
                    chart=[
                        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))
                        for title, tags in group.items()
                    ],
                )
                for category, group in charts.items()
            ]
        )
        tensor = make_tensor_proto(layout.SerializeToString())
        self.describe(custom_scalars.CONFIG_SUMMARY_TAG, custom_scalars.create_summary_metadata(), tensor)

    def describe(self, tag: str, described: SummaryMetadata, tensor: Any) -> None:
        """Write data of a run for one of TensorBoard's plugins."""
        self._summarize(Summary.Value(tag=tag, metadata=described, tensor=tensor), 0)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _summarize(self, value: Summary.Value, step: int) -> None:
        self._write(Event(step=step, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._records.flush()
