"""The roles that the parameters of a network have."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import cast, get_args

from torch import nn

from optsuite.errors import OptsuiteError
from optsuite.modules import Embedding
from optsuite.optimizers import Role, role_by_shape

LOOKUPS = (Embedding, nn.Embedding, nn.EmbeddingBag)
"""Layers of whose weights an example meets few."""


def roles_of(task: str, module: nn.Module) -> dict[str, Role]:
    """Return the role of each parameter that is trained, as `Task.roles` says.

    Args:
        task: Name of the task, for messages.
        module: Its network.
    """
    params = {name: param for name, param in module.named_parameters() if param.requires_grad}
    declared = _declared(task, module, list(params))
    lookups = {id(layer.weight) for layer in module.modules() if isinstance(layer, LOOKUPS)}
    by_type: dict[str, Role] = {name: "input" for name, param in params.items() if id(param) in lookups}
    return {
        name: declared.get(name) or by_type.get(name) or role_by_shape(param.shape)
        for name, param in params.items()
    }


def _declared(task: str, module: nn.Module, names: list[str]) -> dict[str, Role]:
    """Return the roles that the network itself gives."""
    patterns = getattr(module, "roles", {})
    if not isinstance(patterns, Mapping):
        raise OptsuiteError(
            f"the attribute `roles` of the network of `{task}` must be a mapping from names of parameters to "
            f"their roles, got {type(patterns).__name__}: give it, or call that attribute another name"
        )
    declared: dict[str, Role] = {}
    all_names = [name for name, _ in module.named_parameters()]
    for pattern, role in patterns.items():
        if role not in get_args(Role):
            raise OptsuiteError(
                f"the network of `{task}` has the role {role!r} for `{pattern}` in its `roles`: it must be "
                f"one of {', '.join(get_args(Role))}"
            )
        if not fnmatch.filter(all_names, pattern):
            raise OptsuiteError(
                f"the network of `{task}` has no parameter `{pattern}`, which its `roles` name: it has "
                f"{', '.join(all_names)}"
            )
        for name in fnmatch.filter(names, pattern):
            declared.setdefault(name, cast(Role, role))
    return declared
