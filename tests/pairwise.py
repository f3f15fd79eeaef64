"""Products of parameters of which `make test` runs as few as show every pair of values."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

__all__ = ["pairwise"]


def pairwise(*parameters: Iterable[Any]) -> list[ParameterSet]:
    """Return the product of the parameters' values; those that show no new pair of values are marked slow."""
    axes = [list(values) for values in parameters]
    every = list(itertools.product(*(range(len(values)) for values in axes)))
    fresh = {pair for places in every for pair in _pairs(places)}
    chosen = set()
    while fresh:
        best = max(every, key=lambda places: len(_pairs(places) & fresh))
        chosen.add(best)
        fresh -= _pairs(best)
    return [
        pytest.param(
            *(values[place] for values, place in zip(axes, places, strict=True)),
            marks=() if places in chosen else (pytest.mark.slow,),
        )
        for places in every
    ]


def _pairs(places: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(places), 2))
