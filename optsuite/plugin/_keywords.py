"""The choice of `-k`, made before items are: to make tens of thousands that it drops takes pytest seconds."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression


def chosen_by_keyword(metafunc: pytest.Metafunc) -> Callable[[str], bool]:
    """Return a function that tells of the id of a config whether `-k` may choose its item.

    It is true of all where more may become part of the items' names, or where pytest will refuse `-k`.
    """
    definition, text = metafunc.definition, metafunc.config.option.keyword.lstrip()
    fixtures = (one for definitions in metafunc._arg2fixturedefs.values() for one in definitions)
    is_more = (
        metafunc._calls or any(definition.iter_markers("parametrize")) or any(f.params for f in fixtures)
    ) or _is_left_to_pytest(metafunc.config)
    try:
        expression = Expression.compile(text)
    except Exception:  # noqa: BLE001 - pytest will say what is wrong with it
        return lambda _: True
    if not text or is_more:
        return lambda _: True
    is_of_all = functools.cache(KeywordMatcher.from_item(definition))

    def is_chosen(id_: str) -> bool:
        name = f"{definition.name}[{id_}]".lower()

        def matches(word: str, /, **_: object) -> bool:
            word = word.lower()
            return word in name or is_of_all(word) or word in "optsuite"  # of the marker

        return not id_.isascii() or expression.evaluate(matches)  # others are escaped in names

    return is_chosen


def _is_left_to_pytest(config: pytest.Config) -> bool:
    """Return whether items are asked for by id or last outcome, or a conftest may give them words."""
    hooks = (config.hook.pytest_itemcollected, config.hook.pytest_collection_modifyitems)
    plugins = [impl.plugin for hook in hooks for impl in hook.get_hookimpls()]
    is_worded = any(getattr(plugin, "__name__", "").endswith("conftest") for plugin in plugins)
    return is_worded or config.getoption("lf", False) or any("::" in arg for arg in config.args)
