"""Language models with recurrent networks.

Source: learned_optimization, `tasks/fixed/rnn_lm.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from optsuite._types import Batch
from optsuite.data import TextSpec
from optsuite.modules import GRU, IRNN, LSTM, RNNLM, VanillaRNN
from optsuite.tasks._language import language_model, token_losses
from optsuite.tasks._task import Model, Task


def _forward(model: Model, batch: Batch, _key: Tensor | None) -> Tensor:
    """Losses of the tokens, (B, T)."""
    return token_losses(model(batch["obs"].mT), batch["target"].mT).mT


_CORES: dict[str, Callable[[int, int], LSTM | GRU | VanillaRNN]] = {
    "IRNN": IRNN,
    "LSTM": LSTM,
    "GRU": GRU,
    "VanillaRNN": VanillaRNN,
}


def _task(dataset: str, length: int, core: str, hidden_size: int, embedding_size: int) -> Task:
    spec = TextSpec(dataset=dataset, length=length)
    make_core = _CORES[core]
    title = dataset.replace("_", "")
    return language_model(
        name=f"RNNLM_{title}_Patch{length}_{core}{hidden_size}_Embed{embedding_size}",
        family="rnn_lm",
        dataset=spec,
        batch_size=128,
        build=lambda: RNNLM(spec.vocab_size, embedding_size, make_core(embedding_size, hidden_size)),
        forward=_forward,
    )


RNN_LM_TASKS = (
    _task("lm1b_bytes", 32, "IRNN", 128, 64),
    _task("lm1b_bytes", 32, "LSTM", 128, 64),
    _task("lm1b_bytes", 32, "GRU", 128, 64),
    _task("lm1b_bytes", 32, "VanillaRNN", 128, 64),
    _task("lm1b_bytes", 128, "LSTM", 128, 64),
    _task("lm1b_bytes", 32, "LSTM", 256, 128),
    _task("lm1b_bytes", 32, "GRU", 256, 128),
    _task("lm1b_32k", 32, "VanillaRNN", 256, 128),
    _task("lm1b_32k", 32, "LSTM", 256, 128),
    _task("lm1b_32k", 32, "IRNN", 256, 128),
    _task("wikipedia_en_32k", 32, "LSTM", 256, 128),
    _task("wikipedia_en_32k", 32, "GRU", 256, 128),
    _task("wikipedia_en_bytes", 32, "LSTM", 256, 128),
    _task("wikipedia_en_bytes", 32, "GRU", 256, 128),
)
