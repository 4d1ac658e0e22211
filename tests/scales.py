"""Archives of a few losses, from which normalizers are built, and those of the original."""

from pathlib import Path

import fsspec
import numpy as np
from hypothesis import strategies as st

from optsuite import archives
from optsuite.normalizers import Normalizer

GOLDENS = Path(__file__).parent / "goldens" / "format_fixtures" / "normalizers"
TASK = "ImageMLP_FashionMnist8_Relu32"
BASELINES = ("AdamLR", "AdamSqrtDecayLR", "AdamExpDecayLR", "RAdamLR")
GOLDEN_SETS = {
    "speedup_over_adam": ["AdamLR_100_R2"],
    "speedup_over_multiple_baselines": [f"{family}_100_R2" for family in BASELINES],
}
EXAMPLE = Normalizer(xs=[0, 10, 20, 30], ys=[3, 2, 2, 1])


def put(url, content):
    with fsspec.open(url, "wb") as file:
        file.write(content)


def get(url):
    with fsspec.open(url, "rb") as file:
        return file.read()


def archive(root, hparam_set, loss_hse=(((4.0, 3, 2, 1),),), task=TASK, eval_every=10, train_loss=None):
    """Write an archive with this loss in evaluations, (H, S, E), and of training batches, all 0 if None."""
    loss = np.array(loss_hse, dtype=np.float32)
    steps = eval_every * np.arange(loss.shape[2])
    curves = {
        "eval/xs": np.broadcast_to(steps, loss.shape),
        "eval/train/loss": loss,
        "train/loss": np.zeros((*loss.shape[:2], steps[-1] + 1), dtype=np.float32)
        if train_loss is None
        else train_loss,
    }
    return archives.write_archive(task, hparam_set, curves, root)


@st.composite
def some_normalizers(draw):
    pieces = draw(st.integers(1, 20))
    widths = draw(st.lists(st.floats(0.25, 1000), min_size=pieces, max_size=pieces))
    falls = draw(st.lists(st.just(0) | st.floats(1e-3, 10), min_size=pieces, max_size=pieces))
    start = draw(st.floats(-5, 5))
    return Normalizer(np.cumsum([0, *widths]), start - np.cumsum([0, *falls]))
