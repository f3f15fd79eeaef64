"""Runs: training on one dataset, training of one policy on several tasks, and comparison of searches."""
