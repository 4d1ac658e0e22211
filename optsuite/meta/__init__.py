"""Trains learned optimizers: one trial of a task of how well they train other tasks, and a checkpoint.

Training is the trainer's. Here are the settings that it is asked for, the state on disk from which an
interrupted training goes on, and the files that are written at the end.
"""

from optsuite.meta._settings import Settings
from optsuite.meta._train import Progress, meta_train
