"""The code of users is known by its text, that of installed packages by their versions."""

from __future__ import annotations

import importlib
import linecache
import os
import py_compile
import sys
import types

import pytest
import torch

from optsuite import _code
from optsuite.errors import HParamError
from optsuite.hparam_sets import Config
from optsuite.optimizers import get_row, sgd

MINE = """
import torch
{imports}

class Mine(torch.optim.SGD):
    pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    forget()


def forget():
    """Drop what was imported from the current folder."""
    here = str(_code.Path.cwd())
    for name, module in list(sys.modules.items()):
        if here in f"{vars(module).get('__file__')} {vars(module).get('__path__')}":
            del sys.modules[name]


def write(files):
    for name, content in files.items():
        path = _code.Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def code_of(name):
    """The code as a process says that begins now."""
    try:
        return Config("label", name, {"lr": 0.1}).code
    finally:
        forget()
        importlib.invalidate_caches()


FILES = {
    "lib/__init__.py": "",
    "lib/mine.py": MINE.format(imports="from . import beside\nfrom .sub import deep\nimport top"),
    "lib/beside.py": "from lib.sub.deeper import three",
    "lib/sub/__init__.py": "",
    "lib/sub/deep.py": "",
    "lib/sub/deeper.py": "three = 3",
    "top.py": "import json, importlib\nfrom optsuite import errors",
    "lib/apart.py": "",
}


@pytest.mark.parametrize("name", FILES)
def test_the_text_of_every_file_that_is_imported_counts(folder, name):
    write(FILES)
    codes = [code_of(path) for path in ("lib/mine.py:Mine", f"{folder}/lib/mine.py:Mine+clip")]
    (folder / name).write_text(FILES[name] + "\n# another\n")
    codes.append(code_of("lib/mine.py:Mine"))
    assert codes[0] == codes[1]
    assert (codes[2] == codes[0]) == (name == "lib/apart.py")


def test_a_module_that_is_no_part_of_an_installed_package_counts_by_its_text(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    write({"loose_module.py": MINE.format(imports="")})
    before = code_of("loose_module:Mine")
    write({"loose_module.py": MINE.format(imports="import math")})
    assert code_of("loose_module:Mine") != before


def test_files_on_the_path_count_that_a_file_elsewhere_imports(folder, monkeypatch):
    write({"lib/loose_helper.py": "", "mine/mine.py": MINE.format(imports="import loose_helper")})
    monkeypatch.syspath_prepend(str(folder / "lib"))
    before = code_of("mine/mine.py:Mine")
    write({"lib/loose_helper.py": "factor = 2"})
    assert code_of("mine/mine.py:Mine") != before


def test_the_folder_of_the_session_is_no_part_of_it(folder, monkeypatch):
    write({"a/my.py": MINE.format(imports="from spaced.near import X"), "a/spaced/near.py": "X = 1"})
    write({"b/spaced/near.py": "X = 2", "b/c/x": ""})
    found = set()
    for here in ("a", "b/c"):
        monkeypatch.chdir(folder / here)
        found.add(code_of(f"{folder}/a/my.py:Mine"))
        monkeypatch.chdir(folder)
        forget()
    assert len(found) == 1


def compiled(folder, value):
    (folder / "source.txt").write_text(f"X = {value}")
    py_compile.compile("source.txt", "near.pyc", doraise=True)


def test_a_neighbour_that_is_there_compiled_alone_counts_by_its_content(folder):
    write({"my.py": MINE.format(imports="from near import X")})
    compiled(folder, 1)
    first = code_of("my.py:Mine")
    compiled(folder, 2)
    assert code_of("my.py:Mine") != first
    write({"near.py": "X = 1"})
    second = code_of("my.py:Mine")
    compiled(folder, 2)
    assert code_of("my.py:Mine") == second  # Python imports the text


def test_an_installed_package_counts_by_its_version(monkeypatch):
    classes = [torch.optim.NAdam], importlib.import_module("torch.optim"), "NAdam"
    code = _code.code_of_class(*classes)
    assert code.facts == (f"torch {torch.__version__.partition('+')[0]}",)
    assert code.digest == get_row("torch.optim:NAdam").code()
    monkeypatch.setattr(torch, "__version__", "0.1+cu999")
    assert _code.code_of_class(*classes).facts == ("torch 0.1",)
    assert _code._code_at("_pytest.runner", pytest.__file__).facts == (f"pytest {pytest.__version__}",)


def test_a_base_in_another_file_counts(folder):
    write({"mine.py": MINE.format(imports="")})
    names = [fact.partition(" ")[0] for fact in _facts("mine.py:Mine")]
    assert names == ["mine.py", "torch"]


def _facts(path):
    from optsuite.optimizers import _import_path

    cls, _ = _import_path._imported(path)
    return _import_path._CODE[cls].facts


def test_a_process_says_that_a_file_was_edited_and_keeps_what_it_imported(folder):
    write({"mine.py": MINE.format(imports="import helper"), "helper.py": ""})
    before = Config("label", "mine.py:Mine", {"lr": 0.1}).code
    (folder / "helper.py").touch()
    os.utime("helper.py", (1, 1))
    assert Config("label", "mine.py:Mine", {"lr": 0.1}).code == before  # the same text
    write({"helper.py": "factor = 2"})
    with pytest.warns(RuntimeWarning, match=r"helper\.py` was edited since `mine\.py:Mine` was imported"):
        assert Config("label", "mine.py:Mine", {"lr": 0.1}).code == before


def test_a_class_without_a_text_is_known_by_its_name_with_a_warning(monkeypatch):
    module = types.ModuleType("typed_in")
    exec(MINE.format(imports=""), vars(module))
    monkeypatch.setitem(sys.modules, "typed_in", module)
    with pytest.warns(RuntimeWarning, match="no text of it can be found: an edit of it is not noticed"):
        config = Config("label", "typed_in:Mine", {"lr": 0.1})
    assert config.code  # of torch's SGD
    assert Config("label", "typed_in:Mine", {"lr": 0.2}).code == config.code  # warned of once


def test_a_cell_of_a_notebook_is_a_text(monkeypatch):
    codes = []
    for number in (1, 2):
        text = f"def factory(lr):\n    return sgd(lr * {number})\n"
        name = f"<cell {number}>"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(True), name))
        space = {"sgd": sgd, "__name__": "notebook"}
        exec(compile(text, name, "exec"), space)
        codes.append(_code._code_at("notebook", space["factory"].__code__.co_filename))
    assert None not in codes
    assert codes[0].digest != codes[1].digest


@pytest.mark.parametrize("damage", ["def (", "\0", "x = " + "(" * 5000])
def test_a_neighbour_that_cannot_be_parsed_counts_by_its_text(folder, damage):
    write({"mine.py": MINE.format(imports="try:\n    import odd\nexcept Exception: pass"), "odd.py": damage})
    before = code_of("mine.py:Mine")
    write({"odd.py": damage + " "})
    assert code_of("mine.py:Mine") != before


def test_a_file_that_is_gone_says_so(folder):
    with pytest.raises(HParamError, match="cannot import"):
        Config("label", "none.py:Mine", {"lr": 0.1})


RULES = """
from optsuite.optimizers import register_optimizer, sgd
import sizes

def factory(lr):
    return sgd(lr * sizes.factor)

register_optimizer("MineOfAFile", factory)
"""


def test_a_registered_rule_counts_by_the_text_of_its_files(folder, monkeypatch):
    from optsuite.optimizers import OPTIMIZERS

    monkeypatch.syspath_prepend(str(folder))
    codes = []
    for text in ("factor = 1", "factor = 1", "factor = 2"):
        write({"rules.py": RULES, "sizes.py": text})
        importlib.invalidate_caches()
        importlib.import_module("rules")
        codes.append([get_row(name).code() for name in ("MineOfAFile", "MineOfAFile+clip")])
        assert Config("label", "MineOfAFile+clip", {"lr": 0.1}).code == codes[-1][0]
        del OPTIMIZERS["MineOfAFile"]
        forget()
    (one, wrapped), again, other = codes
    assert one == wrapped == again[0] != other[0]
    assert [get_row(name).code() for name in ("Adam", "Adam+clip", "AdamGradAccum")] == [""] * 3


def test_the_list_of_optlist_counts_where_it_is_the_users(tmp_path, monkeypatch, opt_list_file):
    code = get_row("OptList").code
    before = code()
    other = tmp_path / "list.json"
    other.write_text(opt_list_file.read_text().replace("0.999", "0.998"))
    monkeypatch.setenv("OPTSUITE_OPT_LIST", str(other))
    assert code() not in ("", before)
    monkeypatch.setenv("OPTSUITE_OPT_LIST", str(tmp_path / "none.json"))
    assert code() == ""
    monkeypatch.delenv("OPTSUITE_OPT_LIST")
    assert code() == ""
