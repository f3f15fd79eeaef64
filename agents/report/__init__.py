"""The report of a run: one self-contained HTML page, tables and figures."""

from mixq_rl.agents.report.page import report_page
from mixq_rl.agents.report.searched import searched

__all__ = ["report_page", "searched"]
