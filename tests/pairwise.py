"""Products of parameters of which `make test` runs a part."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

__all__ = ["alternating", "pairwise"]


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


def alternating(first: Iterable[Any], second: Iterable[Any]) -> list[ParameterSet]:
    """Return the product of two parameters' values; every other one is marked slow, as on a chessboard."""
    places = itertools.product(enumerate(first), enumerate(second))
    return [pytest.param(one, other, marks=pytest.mark.slow if (i + j) % 2 else ()) for (i, one), (j, other) in places]


def _pairs(places: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(places), 2))
