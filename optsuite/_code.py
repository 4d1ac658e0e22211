"""Fingerprints of code that users bring: the text of files, or the versions of installed packages."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import linecache
import site
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

_OWN = Path(__file__).resolve().parent
# Their versions are no part of the identity of what only calls them.
_ALWAYS_THERE = {"optsuite", "torch"}


class Code(NamedTuple):
    """The code that something is defined by."""

    facts: tuple[str, ...] = ()
    """Texts, as names of files with hashes of their content; and installed packages with their versions."""
    files: tuple[tuple[str, tuple[int, int], str], ...] = ()
    """Path, size with time of change in ns, and hash of the content, of each file that was read."""

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal characters that stand for the facts; empty if there are none."""
        return digest(*self.facts) if self.facts else ""

    def edited(self) -> str | None:
        """Return the path of a file that does not say what it said when it was read, or None."""
        for name, state, content in self.files:
            path = Path(name)
            if _state(path) != state and not (path.is_file() and _hash(path.read_bytes()) == content):
                return name
        return None


def digest(*values: object) -> str:
    """Return sixteen hexadecimal characters that stand for values, by their `repr`."""
    return _hash(repr(values).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def code_of_class(classes: Iterable[type], module: ModuleType, name: str) -> Code:
    """Return the code of a class that was imported: texts and versions of what it is defined by.

    Args:
        classes: The class, and its bases that are to count.
        module: The module from which it was imported.
        name: Name for the warning.

    Warns:
        RuntimeWarning: There is no text of one.
    """
    places = [(one.__module__, _file_of_class(one)) for one in classes]
    if file := getattr(module, "__file__", None):
        places.append((module.__name__, file))
    return _joined([_code_at(*place) for place in dict.fromkeys(places)], f"`{name}`")


def code_of_functions(functions: Iterable[object], name: str) -> Code:
    """Return the code of functions and classes, and of what registers them: the callers of the caller.

    Args:
        functions: Functions, classes, partial calls and methods of any; other values count for nothing. The
            functions that a function encloses count too.
        name: Name under which they are registered, for the warning.

    Warns:
        RuntimeWarning: There is no text of one.
    """
    places = list(dict.fromkeys(itertools.chain(_places(functions, set()), _registering())))
    return _joined([_code_at(*place) for place in places if not _is_part_of(place[0], "torch")], f"`{name}`")


def _joined(found: Iterable[Code | None], what: str) -> Code:
    codes = list(found)
    if None in codes:
        warnings.warn(
            f"{what} is defined where no text of it can be found: an edit of it is not noticed, and curves "
            "of before count as its own; define it in a file",
            RuntimeWarning,
            stacklevel=4,
        )
    known = [code for code in codes if code is not None]
    facts = {fact for code in known for fact in code.facts}
    files = {file for code in known for file in code.files}
    return Code(tuple(sorted(facts)), tuple(sorted(files)))


def _is_part_of(module: str, package: str) -> bool:
    return module.partition(".")[0] == package


def _code_at(module: str, filename: str) -> Code | None:
    """Return the code of a module by its name and file; None if there is no text of it."""
    path = Path(filename).resolve()
    if _OWN in path.parents or _is_part_of(module, "optsuite"):
        return Code()
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and (not filename or _is_installed(path)):
        return Code()
    if top == "torch" or (_is_installed(path) and _distributions().get(top)):
        names = ["torch"] if top == "torch" else _distributions()[top]
        return Code(tuple(f"{name} {_version(name)}" for name in sorted(set(names))))
    if path.is_file():
        return _code_of_file(path)
    if lines := linecache.getlines(filename):  # a cell of a notebook
        return Code((f"text {digest(*lines)}",))
    return None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(distribution: str) -> str:
    if distribution == "torch":  # whose builds for other devices, `+cu...`, are the same code
        return str(sys.modules["torch"].__version__).partition("+")[0]
    return importlib.metadata.version(distribution)


@functools.cache
def _installed_folders() -> frozenset[Path]:
    known = sysconfig.get_paths()
    folders = [known[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return frozenset(
        Path(one).resolve() for one in (*folders, *site.getsitepackages(), site.getusersitepackages())
    )


def _is_installed(path: Path) -> bool:
    return not _installed_folders().isdisjoint(path.parents)


def _code_of_file(path: Path) -> Code:
    """Return the texts of a file and of the files that it imports, as far as they are not installed."""
    facts, files = [], []
    seen, waiting = set[Path](), [path]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        state, content, root = _state(path), path.read_bytes(), _root(path)
        facts.append(f"{path.relative_to(root).as_posix()} {_hash(content)}")
        files.append((str(path), state, _hash(content)))
        waiting += [folder / "__init__.py" for folder in path.parents if root in folder.parents]
        waiting += [file for file in _imported(path, root, content) if _is_of_user(file)]
    return Code(tuple(facts), tuple(files))


def _is_of_user(path: Path) -> bool:
    return not _is_installed(path) and _OWN not in path.parents


def _state(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    return -1, 0


def _root(path: Path) -> Path:
    """Return the folder of a file, or the one that holds its outermost package."""
    return next(folder for folder in path.parents if not (folder / "__init__.py").is_file())


def _imported(path: Path, root: Path, content: bytes) -> Iterator[Path]:
    """Yield where the files may lie that a file imports."""
    try:
        nodes = list(ast.walk(ast.parse(content))) if path.suffix == ".py" else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(_folders(root, alias.name), alias.name)
        elif isinstance(node, ast.ImportFrom):
            names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
            for name in names:
                is_relative = 0 < node.level <= len(path.parents)
                yield from _files_of(
                    [path.parents[node.level - 1]] if is_relative else _folders(root, name), name
                )


def _folders(root: Path, name: str) -> list[Path]:
    """Return the folders in which the first part of a module's name is found."""
    top = name.partition(".")[0]
    if any(file.is_file() for file in _files_of([root], top)):
        return [root]
    if top in sys.stdlib_module_names or top in _ALWAYS_THERE:
        return []
    with suppress(ImportError, ValueError, AttributeError):
        if spec := importlib.util.find_spec(top):
            # A package without `__init__.py` has no origin.
            places = [spec.origin, *(spec.submodule_search_locations or ())]
            paths = [Path(place).resolve() for place in places if place]
            return [path.parent for path in paths if _is_of_user(path)]
    return []


def _files_of(folders: Iterable[Path], name: str) -> Iterator[Path]:
    """Yield the files that importing a module runs, if they are there: its own, and those of its packages."""
    parts = name.split(".")
    for folder in folders:
        for number in range(len(parts)):
            stem = folder.joinpath(*parts[: number + 1])
            for one in (str(stem), str(stem / "__init__")):
                yield from (Path(one + suffix) for suffix in (*EXTENSION_SUFFIXES, ".py"))
                if not Path(f"{one}.py").is_file():
                    yield Path(f"{one}.pyc")


def _file_of_class(cls: type) -> str:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    codes = (value.__code__ for value in vars(cls).values() if inspect.isfunction(value))
    return file or next((code.co_filename for code in codes), "")


def _places(values: Iterable[object], met: set[int]) -> Iterator[tuple[str, str]]:
    """Yield the module and the file of functions and classes, and of what they hold."""
    for value in values:
        if id(value) in met:
            continue
        met.add(id(value))
        match value:
            case functools.partial():
                yield from _places([value.func, *value.args, *value.keywords.values()], met)
            case type():
                yield value.__module__, _file_of_class(value)
            case _ if inspect.ismethod(value):
                yield from _places([value.__func__, type(value.__self__)], met)
            case _ if inspect.isfunction(value):
                yield value.__module__ or "", value.__code__.co_filename
                yield from _places(_enclosed(value), met)
            case tuple() | list():
                yield from _places(value, met)
            case Mapping():
                yield from _places(value.values(), met)
            case _ if callable(value):
                yield from _places([type(value)], met)


def _enclosed(function: Callable[..., Any]) -> Iterator[object]:
    wrapped = getattr(function, "__wrapped__", None)
    yield from (wrapped, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _registering() -> Iterator[tuple[str, str]]:
    """Yield the module and the file of the users' functions that are running, up to the body of a module."""
    frame: FrameType | None = sys._getframe()
    while frame and _OWN in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    while frame and not _is_installed(Path(frame.f_code.co_filename)):
        yield frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        if frame.f_code.co_name == "<module>":
            break
        frame = frame.f_back
