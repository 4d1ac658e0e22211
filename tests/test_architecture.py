"""The rules of ARCHITECTURE.md that can be read off the source."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "optsuite"

# Nothing imports a room that stands after its own; rooms of one line do not import each other.
ORDER = (
    ("_types", "choices", "errors", "words", "_code", "_known_tasks", "_lazy", "_places", "_waiting"),
    ("_arguments", "tree", "noise", "storage"),
    ("data",),
    ("modules",),
    ("optimizers",),
    ("verification",),
    ("gradients",),
    ("tasks",),
    ("hparam_sets",),
    ("suites",),
    ("curves",),
    ("archives", "spool"),
    ("trainer",),
    ("sweep",),
    ("backends",),
    ("statistics",),
    ("tables", "normalizers", "baselines"),
    ("verdict", "comparison"),
    ("vis",),
    ("report",),
    ("runner", "meta"),
    ("plugin", "cli"),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}

MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_FILE = 60, 500

LOOSE_BEGINNINGS = {
    *("Of", "That", "Those", "What", "Which", "Where", "As", "By", "In", "From", "With", "They", "Likewise"),
    *("None:", "None;", "Whose", "How"),
}


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree):
    """Each absolute name that is imported, and its line; those of `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def own_imports(path):
    """The room and what follows it, of each import from this package."""
    for name, line in imported_names(ast.parse(path.read_text())):
        package, *parts = name.split(".")
        if package == "optsuite" and parts and parts[0] in RANK:
            yield parts, line


def test_every_room_has_its_place():
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    assert rooms == RANK.keys()


def test_imports_go_one_way():
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {'.'.join(parts)}"
        for path in sources()
        if (room := room_of(path)) != "__init__"
        for parts, line in own_imports(path)
        if parts[0] != room and RANK[parts[0]] >= RANK[room]
    ]
    assert not wrong


def test_private_names_stay_in_their_room():
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {'.'.join(parts)}"
        for path in sources()
        for parts, line in own_imports(path)
        if parts[0] != room_of(path) and any(part.startswith("_") for part in parts[1:])
    ]
    assert not wrong


def test_functions_and_files_are_short():
    long = []
    for path in sources():
        text = path.read_text()
        long += [(path.name, "file")] if text.count("\n") > MOST_LINES_OF_A_FILE else []
        long += [
            (path.name, node.name)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
            if node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
        ]
    assert not long


def test_docstrings_begin_with_a_complete_phrase():
    loose = [
        f"{path.relative_to(PACKAGE)}:{line}: {text[:60]}"
        for path in sources()
        for line, text in docstrings(ast.parse(path.read_text()))
        if text.split(maxsplit=1)[0] in LOOSE_BEGINNINGS
    ]
    assert not loose


def docstrings(tree):
    """Line and text of every docstring: of functions, classes, modules, and after assignments."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value
