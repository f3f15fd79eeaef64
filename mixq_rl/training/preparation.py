"""Preparation of networks for evaluation: calibration of scales, and training of a supernet."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mixq_rl.datasets import GraphTask
from mixq_rl.nn import Component, QuantizableModel
from mixq_rl.quantization import DEFAULT_BITS, Scheme, check_bit_widths, schemes
from mixq_rl.training.cache import load_state
from mixq_rl.training.calibration import calibrate
from mixq_rl.training.loop import Progress
from mixq_rl.training.losses import class_probabilities
from mixq_rl.training.supernet import fit_supernet

__all__ = ["PreparedNetwork", "prepare_calibrated", "prepare_supernet", "restore_prepared"]


@dataclass(frozen=True)
class PreparedNetwork:
    """A network with scales for each component at each bit-width on offer.

    Attributes:
        task: task of the network.
        float_model: the float-trained network.
        model: a calibrated copy of the float-trained network, with further training if it is a supernet.
        components: components of the float-trained network.
        teacher: class probabilities of the float-trained network, the targets of distillation, ``[nodes, classes]``
            or ``[graphs, classes]``.
        bit_widths: bit-widths on offer, ascending.
        scheme: how scales are found, and whether they are learned.
    """

    task: GraphTask
    float_model: QuantizableModel
    model: QuantizableModel
    components: tuple[Component, ...]
    teacher: Tensor
    bit_widths: tuple[int, ...]
    scheme: Scheme


def prepare_calibrated(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int] = DEFAULT_BITS,
    *,
    scheme: Scheme = schemes["lsq"],
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> PreparedNetwork:
    """Return a calibrated copy of a network. No weight is trained.

    Args:
        model: float-trained model; not changed.
        task: task of the model. The training split gives the data.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed, epochs, progress: ignored; they make the signature that of :func:`prepare_supernet`.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if an int32 sum might overflow at the lowest bit-width.
    """
    prepared = _copied(model, task, bit_widths, scheme)
    calibrate(prepared.model, task, prepared.bit_widths, scheme)
    return prepared


def prepare_supernet(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int] = DEFAULT_BITS,
    *,
    scheme: Scheme = schemes["lsq"],
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> PreparedNetwork:
    """Return a supernet: a copy of a network, trained by :func:`~mixq_rl.training.fit_supernet` for all allocations.

    Args:
        model: float-trained model; not changed.
        task: task of the model. The training split trains the supernet.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed: seed of the training.
        epochs: number of epochs; None: the default.
        progress: called after each epoch.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if an int32 sum might overflow at the lowest bit-width.
    """
    prepared = _copied(model, task, bit_widths, scheme)
    fit_supernet(
        prepared.model,
        task,
        prepared.bit_widths,
        scheme=scheme,
        teacher=prepared.teacher,
        seed=seed,
        epochs=epochs,
        progress=progress,
    )
    return prepared


def restore_prepared(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int],
    state: Mapping[str, Tensor],
    *,
    scheme: Scheme = schemes["lsq"],
) -> PreparedNetwork:
    """Return a prepared network from its stored state.

    Args:
        model: the float-trained model of the preparation; not changed.
        task: the task of the preparation.
        bit_widths: the bit-widths of the preparation.
        state: ``state_dict`` of :attr:`PreparedNetwork.model`.
        scheme: the scheme of the preparation.

    Raises:
        ArtifactError: for the state of another network or of other bit-widths.
    """
    # The state does not hold the signs of the integers, the exponents of rows and which scales are exact. Calibration
    # finds them from the float weights again.
    prepared = prepare_calibrated(model, task, bit_widths, scheme=scheme)
    load_state(prepared.model, state)
    prepared.model.eval()
    return prepared


def _copied(model: QuantizableModel, task: GraphTask, bit_widths: Sequence[int], scheme: Scheme) -> PreparedNetwork:
    offered = check_bit_widths(tuple(bit_widths))
    own, inputs = copy.deepcopy(model), task.calibration_inputs
    components = own.observe(inputs.x, inputs.graph)
    return PreparedNetwork(task, model, own, components, class_probabilities(own, task), offered, scheme)
