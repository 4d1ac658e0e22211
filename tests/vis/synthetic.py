"""Archives with the keys of the original's, of made-up losses."""

import json

import numpy as np

from optsuite.archives import write_archive

SPLITS = ("train", "outer_valid", "test")


def write(root, task, name, loss_HSE, *, eval_every=10, hparams=None, data_source=None, train_loss=None):
    """Write an archive.

    Args:
        root: Of the archives.
        task: Name of the task.
        name: Of the hparam set.
        loss_HSE: Of the evaluations, on all splits alike.
        eval_every: Steps from one evaluation to the next.
        hparams: Of each config; learning rates 0.001, 0.002, ... by default.
        data_source: Left out if None, as in the original's archives.
        train_loss: Of the batches; that of the last evaluation by default.
    """
    loss_HSE = np.asarray(loss_HSE, np.float32)
    num_configs, num_seeds, num_evals = loss_HSE.shape
    steps = np.arange((num_evals - 1) * eval_every + 1)
    hparams = hparams or [{"lr": 0.001 * (h + 1)} for h in range(num_configs)]
    spread = {
        "train/xs": steps,
        "eval/xs": steps[::eval_every],
        **({} if data_source is None else {"data_source": data_source}),
    }
    data = {
        key: np.broadcast_to(value, (num_configs, num_seeds, *np.shape(value)))
        for key, value in spread.items()
    }
    names = [[f"config{h}"] * num_seeds for h in range(num_configs)]
    texts = [[json.dumps({"hparams": hparams[h]})] * num_seeds for h in range(num_configs)]
    losses = {f"eval/{split}/loss": loss_HSE for split in SPLITS}
    if train_loss is None:
        train_loss = np.repeat(loss_HSE, eval_every, axis=-1)[..., : len(steps)]
    train_loss = np.broadcast_to(train_loss, (num_configs, num_seeds, len(steps)))
    write_archive(
        task,
        name,
        {**data, **losses, "train/loss": train_loss, "opt_name": names, "gin_operative_config": texts},
        root,
    )
