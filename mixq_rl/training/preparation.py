"""Preparation of networks for evaluation: calibration of scales, and training of a supernet."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from mixq_rl.datasets import GraphTask
from mixq_rl.nn import Component, QuantizableModel
from mixq_rl.quantization import DEFAULT_BITS, Scheme, check_bit_widths, schemes
from mixq_rl.training.cache import Preparation, load_state
from mixq_rl.training.calibration import calibrate
from mixq_rl.training.loop import Progress
from mixq_rl.training.losses import distillation_targets
from mixq_rl.training.schedules import schedule_for
from mixq_rl.training.second_teacher import second_teacher
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
        teacher: targets of distillation, ``[nodes, classes]`` or ``[graphs, classes]``: those of the
            float-trained network, or of a :func:`~mixq_rl.training.second_teacher.second_teacher` for a supernet.
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

    It learns from the answers of a :func:`~mixq_rl.training.second_teacher.second_teacher`, which is trained first.

    Args:
        model: float-trained model; not changed.
        task: task of the model. The training split trains the supernet.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed: seed of the training.
        epochs: number of epochs of the supernet, and of its teacher; None: the defaults.
        progress: called after each epoch of either.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if an int32 sum might overflow at the lowest bit-width.
    """
    prepared = _copied(model, task, bit_widths, scheme)
    of_teacher, of_supernet = (schedule_for(name, task, None, epochs).epochs for name in ("fine-tune", "supernet"))
    of_teacher = of_teacher if task.kind == "node" else 0

    def passed(before: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(before + done, of_teacher + of_supernet)

    teacher = second_teacher(model, task, seed=seed, epochs=epochs, progress=passed(0))
    prepared = replace(prepared, teacher=teacher)
    fit_supernet(
        prepared.model,
        task,
        prepared.bit_widths,
        scheme=scheme,
        teacher=prepared.teacher,
        seed=seed,
        epochs=epochs,
        progress=passed(of_teacher),
    )
    return prepared


def restore_prepared(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int],
    known: Preparation,
    *,
    scheme: Scheme = schemes["lsq"],
) -> PreparedNetwork:
    """Return a prepared network from its stored state.

    Args:
        model: the float-trained model of the preparation; not changed.
        task: the task of the preparation.
        bit_widths: the bit-widths of the preparation.
        known: what was stored; the state of the float-trained model is not read.
        scheme: the scheme of the preparation.

    Raises:
        ArtifactError: for the state of another network or of other bit-widths.
    """
    # The state does not hold the signs of the integers, the exponents of rows and which scales are exact. Calibration
    # finds them from the float weights again.
    prepared = prepare_calibrated(model, task, bit_widths, scheme=scheme)
    load_state(prepared.model, known.evaluator_state)
    prepared.model.eval()
    return replace(prepared, teacher=known.teacher.to(task.device))


def _copied(model: QuantizableModel, task: GraphTask, bit_widths: Sequence[int], scheme: Scheme) -> PreparedNetwork:
    offered = check_bit_widths(tuple(bit_widths))
    own, inputs = copy.deepcopy(model), task.calibration_inputs
    components = own.observe(inputs.x, inputs.graph)
    return PreparedNetwork(task, model, own, components, distillation_targets(own, task), offered, scheme)
