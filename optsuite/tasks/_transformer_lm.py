"""Language models with decoder-only transformers.

Source: learned_optimization, `tasks/fixed/transformer_lm.py`.
"""

from __future__ import annotations

from torch import Tensor

from optsuite._types import Batch
from optsuite.data import TextSpec
from optsuite.modules import TransformerLM
from optsuite.tasks._language import language_model, token_losses
from optsuite.tasks._task import Model, Task


def _forward(model: Model, batch: Batch, key: Tensor | None) -> Tensor:
    """Losses of the tokens, (B, T)."""
    return token_losses(model(batch["obs"], key), batch["target"])


def _task(
    name: str,
    batch_size: int,
    length: int,
    *,
    features: int,
    layers: int,
    heads: int,
    dropout_rate: float = 0.0,
) -> Task:
    spec = TextSpec(dataset="lm1b_32k", length=length)
    return language_model(
        name=f"TransformerLM_LM1B_{name}",
        family="transformer_lm",
        dataset=spec,
        batch_size=batch_size,
        build=lambda: TransformerLM(spec.vocab_size, features, layers, heads, dropout_rate=dropout_rate),
        forward=_forward,
    )


TRANSFORMER_LM_TASKS = (
    _task("MultiRuntime_0", 4, 8, features=20, layers=1, heads=5, dropout_rate=0.1),
    _task("MultiRuntime_1", 4, 8, features=24, layers=1, heads=6, dropout_rate=0.1),
    _task("MultiRuntime_2", 8, 8, features=32, layers=2, heads=4),
    _task("MultiRuntime_3", 8, 16, features=32, layers=1, heads=4),
    _task("MultiRuntime_4", 16, 4, features=32, layers=2, heads=4),
    _task("MultiRuntime_5", 8, 32, features=32, layers=1, heads=4),
    _task("MultiRuntime_6", 4, 64, features=80, layers=1, heads=5),
    _task("MultiRuntime_7", 16, 32, features=112, layers=3, heads=7),
    _task("MultiRuntime_8", 64, 32, features=128, layers=1, heads=4),
    _task("MultiRuntime_9", 64, 64, features=256, layers=2, heads=4),
    _task("MultiRuntime_10", 128, 64, features=256, layers=3, heads=4),
    _task("MultiRuntime_11", 256, 32, features=304, layers=2, heads=19),
    *(
        _task(f"5layer_{features}width", 32, 128, features=features, layers=5, heads=8, dropout_rate=0.1)
        for features in (32, 128, 256, 512)
    ),
)
