"""TensorBoard output of a run."""

from mixq_rl.agents.monitoring.hyperparameters import end_session
from mixq_rl.agents.monitoring.run_writer import RunWriter
from mixq_rl.agents.monitoring.search_monitor import SearchMonitor
from mixq_rl.agents.monitoring.tasks_monitor import TasksMonitor
from mixq_rl.agents.monitoring.time_share import TimeShare
from mixq_rl.agents.monitoring.watching import show_result, watch

__all__ = ["RunWriter", "SearchMonitor", "TasksMonitor", "TimeShare", "end_session", "show_result", "watch"]
