"""Training in float32, training of supernets, and quantization-aware fine-tuning, in one loop.

Training runs on the device of the task. The model must be on the same device.
"""

from mixq_rl.training.cache import Preparation, PreparationCache
from mixq_rl.training.calibration import calibrate
from mixq_rl.training.fine_tuning import fine_tune
from mixq_rl.training.float_training import fit
from mixq_rl.training.loop import Progress, Schedule
from mixq_rl.training.losses import class_probabilities, distillation_targets
from mixq_rl.training.mini_batches import with_mini_batches
from mixq_rl.training.preparation import PreparedNetwork, prepare_calibrated, prepare_supernet, restore_prepared
from mixq_rl.training.schedules import default_schedule
from mixq_rl.training.supernet import fit_supernet

__all__ = [
    "Preparation",
    "PreparationCache",
    "PreparedNetwork",
    "Progress",
    "Schedule",
    "calibrate",
    "class_probabilities",
    "default_schedule",
    "distillation_targets",
    "fine_tune",
    "fit",
    "fit_supernet",
    "prepare_calibrated",
    "prepare_supernet",
    "restore_prepared",
    "with_mini_batches",
]
