"""TensorBoard's tab of hyperparameters: settings and metrics of each run."""

import time
from collections.abc import Mapping
from dataclasses import fields
from typing import get_type_hints

from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from mixq_rl.agents.monitoring.run_writer import RunWriter
from mixq_rl.agents.records.evaluator_config import RECORDED
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.datasets.metrics import metrics
from mixq_rl.printable import printable

__all__ = ["HYPERPARAMETERS", "METRICS", "begin_session", "end_session"]

_TEXT, _NUMBER = api_pb2.DATA_TYPE_STRING, api_pb2.DATA_TYPE_FLOAT64

_NUMBERS = (int, float, int | None, float | None)
_NAMING = ("seed", "fold")  # numbers without an order
_LEFT_OUT = ("data_root", *RECORDED)


def _columns() -> dict[str, int]:
    hints = get_type_hints(RunConfig)
    names = [field.name for field in fields(RunConfig) if field.name not in _LEFT_OUT]
    return {name: _NUMBER if hints[name] in _NUMBERS and name not in _NAMING else _TEXT for name in names}


HYPERPARAMETERS: Mapping[str, int] = {"search": _TEXT, "search_seed": _TEXT, **_columns()}
"""Columns of the tab and their types. TensorBoard takes them from any one run, so they are the same for all kinds."""

_SHOWN = (
    "dataset",
    "episodes",
    "model",
    "search",
    "search_seed",
)  # TensorBoard shows five columns, and first those marked as differing

METRICS: Mapping[str, str] = {
    **{f"final/best_{name}": f"best: validation {metrics[name].title}" for name in metrics},
    **{f"final/best_test_{name}": f"best: test {metrics[name].title}" for name in metrics},
    "final/best_reduction": "best: reduction",
    "final/best_product_reduction": "best: reduction (product)",
    "final/best_speed_up": "best: speed-up",
    "final/best_size_reduction": "best: size against float32",
    "search/hypervolume": "hypervolume",
    "search/reward_best": "best reward",
    "search/evaluations": "evaluations",
}
"""Metrics beside the settings: tags of scalars, and their names in the tab."""


def begin_session(writer: RunWriter, values: Mapping[str, object]) -> None:
    """Write the settings of a run and the names of its metrics.

    Args:
        writer: of the run.
        values: settings by name. None, and names that are not in :data:`HYPERPARAMETERS`, are left out.
    """
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=kind, differs=name in _SHOWN) for name, kind in HYPERPARAMETERS.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name) for tag, name in METRICS.items()
        ],
    )
    _write(writer, metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment))
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, kind in HYPERPARAMETERS.items():
        value = values.get(name)
        if value is None or value == ():
            continue
        if kind == _NUMBER:
            start.hparams[name].number_value = float(str(value))
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            start.hparams[name].string_value = printable(text)
    _write(writer, metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))


def end_session(writer: RunWriter) -> None:
    """Write that a run has ended."""
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    _write(writer, metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def _write(writer: RunWriter, tag: str, content: plugin_data_pb2.HParamsPluginData) -> None:
    writer.describe(tag, metadata.create_summary_metadata(content), metadata.NULL_TENSOR)
