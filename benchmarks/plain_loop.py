"""The loop that one writes by hand: one trial at a time, beside which the trainer is measured.

It has `torch.nn` layers, `torch.optim`, batches already on the device, the same evaluations, and takes the
loss of every step to the host.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import nn

from optsuite.modules import GRU, LSTM, MLP, RNNLM
from optsuite.trainer import resolve_device

SOURCE = "synthetic"  # speed does not depend on the pixels


def plain_rate(
    task, schedule, num_steps, optimizer_class=torch.optim.Adam, *, device=None, precision="float32"
):
    """Steps a second of the plain loop; tf32 is a matter of torch's settings around it."""
    device = resolve_device(device)
    net = plain_network(task.module(0)).to(device)
    optimizer = optimizer_class(net.parameters(), lr=1e-3)
    train = task.dataloader("train", device=device, mode=SOURCE)
    evals = {
        split: task.dataloader(split, seed=1, device=device, mode=SOURCE)
        for split in ("train", "outer_valid", "test")
    }
    losses, metrics = [], []
    record = metrics.append
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

    def one_step(step):
        if step % schedule.eval_every == 0:
            with torch.no_grad():
                for batches in evals.values():
                    for _ in range(schedule.eval_batches):
                        with autocast:
                            record(plain_metrics(task, net, next(batches)))
        optimizer.zero_grad()
        losses.append(plain_backward(task, net, next(train), autocast))
        optimizer.step()

    for step in range(schedule.eval_every):
        one_step(step)
    wait(device)
    began = time.perf_counter()
    for step in range(num_steps):
        one_step(step)
    wait(device)
    return num_steps / (time.perf_counter() - began)


def wait(device):
    """Wait until a GPU has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def plain_network(module):
    """The same network in torch's own layers, where it has them."""
    if isinstance(module, RNNLM) and not isinstance(module.core, GRU):  # torch's resets after the product
        return PlainRNN(module)
    if not isinstance(module, MLP) or not all(isinstance(norm, nn.Identity) for norm in module.norms):
        return module
    layers = [nn.Flatten()]
    for linear in module.linears:
        layers += [nn.Linear(*reversed(linear.weight.shape)), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PlainRNN(nn.Module):
    """The same in torch's own recurrent layers, which start from zeros."""

    def __init__(self, module):
        super().__init__()
        vocab_size, embedding_size = module.embedding.weight.shape
        sizes = embedding_size, module.core.hidden_size
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        is_lstm = isinstance(module.core, LSTM)
        self.core = nn.LSTM(*sizes) if is_lstm else nn.RNN(*sizes, nonlinearity="relu")
        self.head = nn.Linear(module.core.hidden_size, vocab_size)

    def forward(self, tokens):
        """Logits, (T, B, V)."""
        return self.head(self.core(self.embedding(tokens))[0])


def plain_loss(task, net, batch):
    """Loss and outputs, in torch's own functions."""
    if "obs" in batch:
        rows = (lambda field: field.mT) if task.family == "rnn_lm" else (lambda field: field)
        outputs, targets = net(rows(batch["obs"])), rows(batch["target"])
        losses = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
        is_token = rows(batch["obs"]).flatten() != 0
        return (losses * is_token).sum() / is_token.sum(), outputs
    outputs = net(batch["image"])
    if task.family == "image_mlp_ae":
        return F.mse_loss(torch.sigmoid(outputs), batch["image"].flatten(1)), outputs
    return F.cross_entropy(outputs, batch["label"]), outputs


def plain_metrics(task, net, batch):
    """Loss, normalised loss and accuracy, if there is one, of one batch."""
    loss, outputs = plain_loss(task, net, batch)
    metrics = [loss.item(), float(task.normalizer(loss))]
    if "accuracy" in task.metric_names:
        metrics.append((outputs.argmax(-1) == batch["label"]).float().mean().item())
    return metrics


def plain_backward(task, net, batch, autocast):
    """Leave the gradient in the parameters; returns the loss."""
    if task.family != "es_wrapped":
        with autocast:
            loss = plain_loss(task, net, batch)[0]
        loss.backward()
        return loss.item()
    with torch.no_grad():
        loss, num_pairs, params = plain_loss(task, net, batch)[0], int(task.name[10]), list(net.parameters())
        for param in params:
            param.grad = torch.zeros_like(param)
        for _ in range(num_pairs):
            noise = [0.01 * torch.randn_like(param) for param in params]
            losses = []
            for step in (1, -2, 1):  # up, down, and back
                for param, e in zip(params, noise, strict=True):
                    param.add_(e, alpha=step)
                losses.append(plain_loss(task, net, batch)[0] if step != 1 or not losses else 0.0)
            slope = (losses[0] - losses[1]) / (2 * 0.01**2 * num_pairs)
            for param, e in zip(params, noise, strict=True):
                param.grad.add_(e * slope)
    return loss.item()
