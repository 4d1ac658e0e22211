"""Imports .py files as Python would run them: with what lies beside them, as parts of their packages."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def import_file(path: Path) -> ModuleType:
    """Import a file once per process, under a name that no other file has.

    Its folder, or the one that holds its package, is searched first for what it imports. What files of one
    name in the folders of two imported files define stays apart.

    Args:
        path: The file, relative to the current folder; `~` is the home folder.

    Raises:
        Exception: Whatever the file raises; nothing of it stays imported.
    """
    path = path.expanduser().resolve()
    root = next(folder for folder in path.parents if not (folder / "__init__.py").is_file())
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:10]
    top = re.sub(r"\W", "_", f"{root.name}_{digest}")
    name = ".".join([top, *path.relative_to(root).parent.parts, path.stem.replace(".", "_")])
    if name not in sys.modules:
        before = set(sys.modules)
        try:
            with _beside(root):
                _import(name, path, top, root)
        except BaseException:
            for new in set(sys.modules) - before:
                if new.partition(".")[0] == top or _is_beside(new, root):
                    del sys.modules[new]
            raise
    return sys.modules[name]


def _import(name: str, path: Path, top: str, root: Path) -> None:
    if top not in sys.modules:  # a package without a file, in which imports can be relative
        spec = ModuleSpec(top, None, is_package=True)
        spec.submodule_search_locations = [str(root)]
        sys.modules[top] = importlib.util.module_from_spec(spec)
    importlib.import_module(name.rpartition(".")[0])
    file = importlib.util.spec_from_file_location(name, path)
    assert file is not None
    assert file.loader is not None
    if name not in sys.modules:  # its package may have imported it
        sys.modules[name] = importlib.util.module_from_spec(file)
        file.loader.exec_module(sys.modules[name])


@contextmanager
def _beside(root: Path) -> Iterator[None]:
    """Find the files of a folder first, though files elsewhere were imported by the same names."""
    tops = {name for name in sys.modules if _has(root, name) and not _is_beside(name, root)}
    tops -= sys.stdlib_module_names
    apart = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    for name in apart:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        if str(root) not in sys.path:
            sys.path.append(str(root))  # for what is imported later, in a step
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(apart)


def _files(root: Path, name: str) -> list[Path]:
    first = name.partition(".")[0]
    return [root / f"{first}.py", root / first / "__init__.py"]


def _has(root: Path, name: str) -> bool:
    return any(file.is_file() for file in _files(root, name))


def _is_beside(name: str, root: Path) -> bool:
    """Tell whether a module's outermost package was imported from a folder."""
    file = getattr(sys.modules.get(name.partition(".")[0]), "__file__", None)
    return isinstance(file, str) and Path(file) in _files(root, name)
