"""Findings about the features of nodes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mixq_rl.datasets.finding import Finding

__all__ = ["feature_findings"]

_SUBJECT = "features"
_OUT_OF_SCALE = 100  # of 255 steps of a scale, at most two are left for the others
_SMALL, _GREAT = 1e-6, 1e6
_NAMED = 3


def feature_findings(x: Tensor) -> Iterator[Finding]:
    """Yield findings about features, floating point ``[nodes, features]``, which may hold NaN and infinity."""
    columns = x.shape[1]
    least, greatest = torch.aminmax(x, dim=0)
    reach = torch.maximum(least.abs(), greatest.abs())
    is_finite = torch.isfinite(reach)
    if not bool(is_finite.all()):
        yield _not_finite(x, ~is_finite)
    reach = torch.where(is_finite, reach, 0.0)
    nonzero = torch.linalg.vector_norm(x, ord=0, dim=0)
    typical = torch.where(is_finite, torch.linalg.vector_norm(x, ord=1, dim=0) / nonzero.clamp(min=1), 0.0)
    whole = float(reach.max())
    zeros = 1 - float(nonzero.sum()) / x.numel()
    form = (
        f"within {float(least[is_finite].min()):.3g}...{float(greatest[is_finite].max()):.3g}" if whole else "all zero"
    )
    yield Finding(_SUBJECT, f"{columns} columns {form}, {100 * zeros:.1f} % zeros")
    constant = (is_finite & (least == greatest)).nonzero()[:, 0]
    if 0 < constant.numel() < columns:
        yield Finding(
            "constant columns",
            f"{constant.numel()} of {columns} columns are constant: {_numbers(constant)}",
            "they tell no two nodes apart and cost operations; remove them",
            matters=constant.numel() > columns // 10,
        )
    if 0 < whole < _SMALL or whole > _GREAT:
        yield Finding(
            "range",
            f"features reach {whole:.3g}",
            f"scales of fixed-point numbers cover about {_SMALL:g} to {_GREAT:g} well; standardise the columns",
            matters=True,
        )
    yield from _out_of_scale(x, reach, typical)


def _not_finite(x: Tensor, columns: Tensor) -> Finding:
    bad = ~torch.isfinite(x[:, columns])
    node, place = bad.nonzero()[0].tolist()
    column = int(columns.nonzero()[place])
    kind = "NaN" if bool(x[node, column].isnan()) else "infinity"
    return Finding(
        "not finite",
        f"{int(bad.sum()):,} values in {int(columns.sum())} of {x.shape[1]} columns are NaN or infinite: "
        f"at node {node}, column {column} {kind}",
        "such a graph is refused; replace them, for example by torch.nan_to_num or the mean of the column",
        matters=True,
    )


def _out_of_scale(x: Tensor, reach: Tensor, typical: Tensor) -> Iterator[Finding]:
    """Yield a finding about columns that reach far beyond the other columns, or beyond their own typical value."""
    used = reach > 0
    if not bool(used.any()):
        return
    middle = float(reach[used].median())
    ratio = torch.where(used, torch.maximum(reach / middle, reach / typical.clamp(min=1e-38)), 0.0)
    beyond = (ratio > _OUT_OF_SCALE).nonzero()[:, 0]
    if not beyond.numel():
        return
    worst = beyond[ratio[beyond].argsort(descending=True, stable=True)][:_NAMED].tolist()
    at = [int(x[:, column].nan_to_num(0, 0, 0).abs().argmax()) for column in worst]
    named = ", ".join(
        f"column {column} reaches {float(reach[column]):.3g} at node {node}"
        for column, node in zip(worst, at, strict=True)
    )
    rest = f" and {beyond.numel() - len(worst)} more" if beyond.numel() > len(worst) else ""
    yield Finding(
        "scale",
        f"{named}{rest}; the middle column reaches {middle:.3g}",
        "one scale covers a component, and few of its steps are left for the rest; standardise these columns, or take "
        "their logarithm",
        matters=True,
    )


def _numbers(values: Tensor) -> str:
    first = ", ".join(str(value) for value in values[:_NAMED].tolist())
    return first + ", ..." * (values.numel() > _NAMED)
