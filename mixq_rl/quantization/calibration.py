"""Initial scales of a component, chosen from calibration data by a scheme."""

from collections.abc import Sequence

from torch import Tensor

from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.node_scales import NodeScales
from mixq_rl.quantization.observers import RangeObserver
from mixq_rl.quantization.quantizer import normalised
from mixq_rl.quantization.scales import FollowedScales, LearnedScales, Scales
from mixq_rl.quantization.scheme import Scheme

__all__ = ["fitted_scales"]


def fitted_scales(
    x: Tensor,
    ranges: Sequence[IntegerRange],
    scheme: Scheme,
    *,
    affine: bool,
    granularity: Granularity,
    node_scales: bool,
    running: bool,
) -> Scales:
    """Return the scales of a component, fitted to its values.

    Args:
        x: values of the component, ``[rows, columns]`` or ``[entries]``.
        ranges: the integers of each bit-width.
        scheme: quantization scheme, which says where scales come from.
        affine: whether zero points may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale.
        node_scales: whether nodes may have scales of their own, for a scheme with such scales.
        running: whether scales that follow the values take earlier batches into account, not only the newest.
    """
    observer = scheme.observer
    if node_scales and scheme.scales_per_component is not None:
        return NodeScales.fitted(x, ranges, observer, scheme.scales_per_component)
    if scheme.learn_scales or not isinstance(observer, RangeObserver):
        return LearnedScales.fitted(x, ranges, observer, affine=affine, granularity=granularity)
    known = observer.observe(normalised(x, granularity)[0], granularity is Granularity.COLUMN)
    return FollowedScales(observer, known, [offered.bits for offered in ranges], affine=affine, running=running)
