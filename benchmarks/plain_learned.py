"""Learned optimizers, and tasks that train them, as one writes them by hand: one network at a time."""

from __future__ import annotations

import torch

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
SCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0)


class PlainMLPLOpt:
    """MLPLOpt as an object that steps parameters in place, tensor by tensor."""

    def __init__(self, params, theta):
        self.params, self.step_number = list(params), 0
        self.layers = [(theta[f"mlp/~/linear_{n}/w"], theta[f"mlp/~/linear_{n}/b"]) for n in range(3)]
        self.momenta = [torch.zeros(*p.shape, len(DECAYS)) for p in self.params]
        self.decays, self.scales = torch.tensor(DECAYS), torch.tensor(SCALES)

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        """Step by the gradients at the parameters."""
        time = torch.tanh(self.step_number / self.scales - 1)
        self.step_number += 1
        for p, momentum in zip(self.params, self.momenta, strict=True):
            momentum.mul_(self.decays).add_((1 - self.decays) * p.grad[..., None])
            inputs = torch.cat([p.grad[..., None], p[..., None], momentum], -1)
            p -= step_of(self.layers, normalized(inputs), time)


class PlainAdafacMLPLOpt:
    """AdafacMLPLOpt likewise, for matrices and vectors."""

    def __init__(self, params, theta):
        self.params, self.step_number = list(params), 0
        self.layers = [(theta[f"nn/~/w{n}"], theta[f"nn/~/b{n}"]) for n in range(3)]
        self.decays = {
            name: 1 - ((torch.log(1 - torch.tensor(start)) / 10 + theta[f"{name}_decays"]) * 10).exp()
            for name, start in {
                "momentum": (0.9, 0.99, 0.999),
                "rms": (0.999,),
                "adafactor": (0.9, 0.99, 0.999),
            }.items()
        }
        self.scales = torch.tensor(SCALES)
        self.state = [
            {
                "momentum": torch.zeros(*p.shape, 3),
                "rms": torch.zeros(*p.shape, 1),
                "row": torch.zeros(*(p.shape[:1] if p.ndim == 2 else p.shape), 3),
                "column": torch.zeros(*(p.shape[1:] if p.ndim == 2 else p.shape), 3),
            }
            for p in self.params
        ]

    @torch.no_grad()
    def step(self, grads):
        """Step by some gradients."""
        time = torch.tanh(self.step_number / self.scales - 1)
        self.step_number += 1
        for p, g, state in zip(self.params, grads, self.state, strict=True):
            p -= step_of(self.layers, normalized(self.features(p, g, state)), time)

    def features(self, p, g, state):
        """Return the 28 inputs that differ from element to element, last, and bring the state up to date."""
        grad, square = g[..., None], g[..., None].square()
        means = (
            {"row": square.mean(1), "column": square.mean(0)}
            if p.ndim == 2
            else dict.fromkeys(("row", "column"), square)
        )
        new = {"momentum": grad, "rms": square, **{name: mean + 1e-30 for name, mean in means.items()}}
        for name, value in new.items():
            decay = self.decays[name if name in self.decays else "adafactor"]
            state[name].mul_(decay).add_((1 - decay) * value)
        momentum, root = state["momentum"], torch.rsqrt(state["rms"] + 1e-6)
        row, column = state["row"], state["column"]
        if p.ndim == 2:
            row_scale = (row / (row.mean(0, keepdim=True) + 1e-9)).clamp(min=1e-9).rsqrt()[:, None]
            scale = momentum_scale = row_scale * column.clamp(min=1e-9).rsqrt()
            row, column = row[:, None].expand(*p.shape, 3), column.expand(*p.shape, 3)
        else:
            scale, momentum_scale = torch.rsqrt((row + 1e-9).clamp(min=1e-9)), torch.rsqrt(row + 1e-6)
        parts = [grad, p[..., None], momentum, state["rms"], momentum * root, root, grad * scale]
        parts += [row, column, torch.rsqrt(row + 1e-8), torch.rsqrt(column + 1e-8), momentum * momentum_scale]
        return torch.cat(parts, -1)


def normalized(inputs):
    """Divide each input by its root mean square."""
    mean_square = inputs.square().mean(tuple(range(inputs.ndim - 1)), keepdim=True)
    return inputs * torch.rsqrt(mean_square + 1e-5)


def step_of(layers, inputs, time):
    """Run the network."""
    hidden = torch.cat([inputs, time.expand(*inputs.shape[:-1], len(time))], -1)
    for number, (weight, bias) in enumerate(layers):
        hidden = hidden @ weight + bias
        if number < len(layers) - 1:
            hidden = torch.relu(hidden)
    return 0.001 * hidden[..., 0] * torch.exp(0.001 * hidden[..., 1])


class PlainPES:
    """A step of persistent evolution strategies, one inner network after the other."""

    def __init__(self, task, make_network, num_problems, total_length, std=0.01):
        self.make_network, self.total_length, self.std = make_network, total_length, std
        self.task = task
        self.positions = torch.randint(total_length, (num_problems,)).tolist()
        self.problems = [self.fresh() for _ in self.positions]
        self.sums = None

    def fresh(self):
        """Make two equal networks, and no optimizers yet."""
        networks = [self.make_network(), self.make_network()]
        networks[1].load_state_dict(networks[0].state_dict())
        return [(network, None) for network in networks]

    def estimate(self, theta, batch):
        """The gradient by name, and the mean loss."""
        grads = {name: torch.zeros_like(tensor) for name, tensor in theta.items()}
        self.sums = self.sums or [dict(grads) for _ in self.positions]
        total = 0.0
        for n, position in enumerate(self.positions):
            noise = {name: self.std * torch.randn_like(tensor) for name, tensor in theta.items()}
            self.sums[n] = {name: self.sums[n][name] + e for name, e in noise.items()}
            thetas = [{name: theta[name] + sign * e for name, e in noise.items()} for sign in (1, -1)]
            old, new, losses, count, ended = 0.0, 0.0, 0.0, 0, False
            for t in range(len(batch["image"])):
                if position >= self.total_length:
                    self.problems[n], position = self.fresh(), 0
                    continue
                inner = {name: field[t, n] for name, field in batch.items()}
                plus, minus = (self.inner_step(n, i, thetas[i], inner) for i in range(2))
                position, count, losses = position + 1, count + 1, losses + (plus + minus) / 2
                ended = ended or position >= self.total_length
                old, new = (old, new + plus - minus) if ended else (old + plus - minus, new)
            factor = 1 / (2 * self.std**2 * count * len(self.positions))
            for name, e in noise.items():
                grads[name] += factor * (old * self.sums[n][name] + new * e)
            if ended:
                self.sums[n] = noise
            self.positions[n], total = position, total + losses / count
        return grads, total / len(self.positions)

    def inner_step(self, n, i, theta, batch):
        """Take a step of one network; returns the loss before it."""
        network, optimizer = self.problems[n][i]
        params = list(network.parameters())
        if optimizer is None:
            optimizer = PlainAdafacMLPLOpt(params, theta)
            self.problems[n][i] = network, optimizer
        optimizer.layers = [(theta[f"nn/~/w{k}"], theta[f"nn/~/b{k}"]) for k in range(3)]
        loss = torch.nn.functional.cross_entropy(network(batch["image"]), batch["label"])
        optimizer.step(torch.autograd.grad(loss, params))
        return float(self.task.normalizer(loss.detach()))
