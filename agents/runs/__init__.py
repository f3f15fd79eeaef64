"""Runs: training on one dataset, one policy on several tasks, comparison of searches."""
