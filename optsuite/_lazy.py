"""Rooms whose names are imported when they are first asked for, since few who import the room need all."""

import importlib
import sys
from collections.abc import Callable, Mapping


def importing(room: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a room.

    Args:
        room: Name of the room's package.
        modules: Names of the room that are imported so, by the name of their module in it.
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module `{room}` has no attribute `{name}`")
        value = getattr(importlib.import_module(f"{room}.{module_of[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    return find
