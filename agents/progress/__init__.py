"""Progress of a run: log, progress bars, interruption."""
