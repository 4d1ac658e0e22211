"""Archives of made-up nights: losses that fall, and the noise of rounding that training amplified."""

from __future__ import annotations

import json

import numpy as np

from optsuite import archives

TASK, SET = "ImageMLP_FashionMnist8_Relu32", "AdamLR_20_R5"
LRS = tuple(10.0**power for power in np.linspace(-7, 0, 15))
EVALS, STEPS = 5, 20


def losses(num_seeds=5, num_settings=15):
    """(H, S, E): the middle setting is best, and the largest learning rate diverges."""
    best = 0.3 + 0.1 * np.abs(np.arange(num_settings) - num_settings // 2)[:, None, None]
    falls = np.linspace(2.3, 0, EVALS)[None, None]
    found = best + falls + 0.01 * np.arange(num_seeds)[None, :, None]
    if num_settings > 1:
        found[-1, :, -1] = np.nan
    return found


def rounding(rng, shape, size=0.02):
    """Relative noise of two nights, (H, S), as measured on Fashion-MNIST.

    It is next to nothing in most trials, but large and heavy-tailed in some, of large learning rates mostly.
    """
    num_settings = shape[0]
    is_chaotic = rng.random(shape) < np.linspace(-0.5, 0.9, num_settings)[:, None]
    sizes = size * np.geomspace(1e-3, 1, num_settings)[:, None]
    noise = np.where(is_chaotic, sizes * rng.standard_t(2, shape), 1e-7 * rng.standard_normal(shape))
    return np.clip(noise, -0.9, 0.9)


def write(root, loss_HSE, *, task=TASK, hparam_set=SET, optimizer="Adam", version="1", seconds=1e-3, **facts):
    """Write an archive; `facts` replace its arrays, of one value for all trials."""
    num_settings, num_seeds = loss_HSE.shape[:2]
    shape = (num_settings, num_seeds)
    labels = [f"Adam_lr{lr:.0e}" for lr in LRS[:num_settings]]
    configs = [
        json.dumps({"optimizer": optimizer, "hparams": {"lr": lr}, "label": label})
        for lr, label in zip(LRS, labels, strict=False)
    ]

    def of_setting(values):
        return np.repeat(np.array(values)[:, None], num_seeds, 1)

    xs = np.linspace(0, STEPS, EVALS).astype(np.int64)
    train_loss = np.repeat(loss_HSE[..., -1:], STEPS + 1, -1)
    ids = [[f"{version}-{h}-{s}" for s in range(num_seeds)] for h in range(num_settings)]
    schedule = {"num_steps": STEPS, "eval_every": STEPS // (EVALS - 1), "eval_batches": 5}
    arrays = {
        "train/xs": np.broadcast_to(np.arange(STEPS + 1), (*shape, STEPS + 1)),
        "train/loss": train_loss.astype(np.float32),
        "eval/xs": np.broadcast_to(xs, (*shape, EVALS)),
        "eval/train/loss": loss_HSE.astype(np.float32),
        **{key: np.full(shape, value) for key, value in schedule.items()},
        "last_eval_batches": np.full(shape, 10),
        "opt_name": of_setting(labels),
        "gin_operative_config": of_setting(configs),
        "accelerator_kind": np.full(shape, "cpu"),
        "data_source": np.full(shape, "real"),
        "seed": np.broadcast_to(np.arange(num_seeds), shape),
        "trial_id": np.array(ids),
        "torch_version": np.full(shape, "2.9.0"),
        "optsuite_version": np.full(shape, "0.1.0"),
        "seconds_per_step": np.full(shape, seconds),
    }
    arrays |= {key: np.broadcast_to(value, shape) for key, value in facts.items()}
    archives.write_archive(task, hparam_set, arrays, str(root))
