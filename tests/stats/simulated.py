"""Cells with known truth: losses that fall as a power of the step, with noise that settings share or not."""

import numpy as np

from optsuite.archives import RecordedConfig
from optsuite.statistics import Evaluations

XS = np.arange(0, 2001, 40)


def make_cell(losses_HSE, *, lrs=None, hparams=None, **fields):
    """Evaluations of settings whose learning rates are half a decade apart."""
    num_settings, num_seeds, num_evals = losses_HSE.shape
    lrs = 10.0 ** (np.arange(num_settings) / 2 - 6) if lrs is None else lrs
    hparams = [{"lr": float(lr)} for lr in lrs] if hparams is None else hparams
    xs = fields.pop("xs", XS[-num_evals:] if num_evals <= len(XS) else np.arange(num_evals))
    losses = fields.pop("losses", {"train": losses_HSE})
    given = {
        "task": "Task",
        "hparam_set": "MineLR_2000_R5",
        "source": "own",
        "configs": tuple(RecordedConfig(f"Mine{i}", each) for i, each in enumerate(hparams)),
        "seeds": np.arange(num_seeds),
        "data_source": "real",
        "schedule": None,
        "num_steps": int(xs[-1]),
        "accuracies": {},
        "diverged": ~np.isfinite(losses["train"][..., -1]),
        "seconds_per_step": None,
        "flops_per_step": None,
        "device": "",
        "origin": "",
    }
    return Evaluations(xs=xs, losses=losses, **(given | fields))


def final_cell(final_HS, **fields):
    """Evaluations at the start, where the loss is 10 for all, and at the end."""
    losses_HSE = np.stack([np.full_like(final_HS, 10.0), final_HS], axis=-1)
    return make_cell(losses_HSE, xs=np.array([0, 100]), **fields)


def true_curves(speeds):
    """(H, E): a setting with twice the speed needs half of the steps for each loss."""
    return 2.3 * (1 + np.asarray(speeds)[:, None] * XS / 50) ** -0.5


def shared_noise(random, num_seeds, size):
    """(S, E): noise of batches and initial parameters, the same for all settings and optimizers."""
    lasting, passing = random.standard_normal((num_seeds, 1)), random.standard_normal((num_seeds, len(XS)))
    return size * (lasting + passing)


def noisy(random, true_HE, shared_SE, lasting=0.03, passing=0.03):
    """(H, S, E): curves of seeds."""
    num_settings, num_seeds = len(true_HE), len(shared_SE)
    own = lasting * random.standard_normal((num_settings, num_seeds, 1))
    own = own + passing * random.standard_normal((num_settings, num_seeds, true_HE.shape[1]))
    return true_HE[:, None] * np.exp(own + shared_SE)
