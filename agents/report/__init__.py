"""One page that shows what a run found: self-contained HTML, for a screen of any size and for paper."""

from mixq_rl.agents.report.page import report_page
from mixq_rl.agents.report.searched import searched

__all__ = ["report_page", "searched"]
