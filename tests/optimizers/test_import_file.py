"""Whatever Python can import and call is found: files beside others, in packages, in folders of any name."""

from __future__ import annotations

import re
import sys

import pytest

from optsuite.errors import HParamError
from optsuite.hparam_sets import _families, get_family, register_lr_family
from optsuite.optimizers import check_hparams, import_optimizer, parse_call

OWN = """
from torch.optim import SGD
{imports}

class Mine(SGD):
    factor = FACTOR

    def step(self, closure=None):
        super().step()
        from later import nothing
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files, and forget afterwards what was imported from them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write_files(files):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    yield write_files
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", tmp_path)):
            del sys.modules[name]


def own(imports="FACTOR = 1"):
    return OWN.format(imports=imports)


FOLDERS = ["my opts (new)", "a=b", "a:b", "[x]", "a.b/c", "f(lr=1)/x:y(z=2)", "it's", "päth"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_may_have_any_name(write, folder):
    write({f"{folder}/own.v2.py": own("from helpers import FACTOR"), f"{folder}/helpers.py": "FACTOR = 3"})
    write({f"{folder}/later.py": "nothing = None"})
    path, hparams = parse_call(f"{folder}/own.v2.py:Mine(momentum=0.9, nesterov=True)")
    assert (path, hparams) == (f"{folder}/own.v2.py:Mine", {"momentum": 0.9, "nesterov": True})
    assert parse_call(path) == (path, {})
    check_hparams(path, {**hparams, "lr": 0.1})
    assert import_optimizer(path).factor == 3


def test_the_home_folder_may_be_written_short(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write({"own.py": own()})
    assert import_optimizer("~/own.py:Mine") is import_optimizer("own.py:Mine")


def test_files_beside_the_files_of_two_folders_do_not_mix(write):
    for number, folder in enumerate("abc"):
        write(
            {
                f"{folder}/own.py": own("from helpers import FACTOR"),
                f"{folder}/helpers.py": f"FACTOR = {number}",
            }
        )
    assert [import_optimizer(f"{folder}/own.py:Mine").factor for folder in "abca"] == [0, 1, 2, 0]
    assert sys.modules["helpers"].FACTOR == 0


@pytest.mark.parametrize("has_init", [True, False])
@pytest.mark.parametrize("imports", ["from .helpers import FACTOR", "from .sub.helpers import FACTOR"])
def test_a_file_may_import_relatively(write, has_init, imports):
    helper = "from . import mark\nFACTOR = mark.MARK\n"
    files = {
        f"pkg/{sub}{name}.py": text
        for sub in ("", "sub/")
        for name, text in (("helpers", helper), ("mark", "MARK = 4"))
    }
    write(
        {
            "pkg/own.py": own(imports),
            **files,
            **({"pkg/__init__.py": "", "pkg/sub/__init__.py": ""} if has_init else {}),
        }
    )
    assert import_optimizer("pkg/own.py:Mine").factor == 4


def test_a_file_of_a_package_may_import_from_above_and_by_its_full_name(write):
    write({"pkg/__init__.py": "from pkg.top import TOP", "pkg/top.py": "TOP = 5", "pkg/sub/__init__.py": ""})
    write(
        {
            "pkg/sub/own.py": own("from ..top import TOP as FACTOR\nfrom pkg.sub.more import MORE"),
            "pkg/sub/more.py": "MORE = 1",
        }
    )
    assert import_optimizer("pkg/sub/own.py:Mine").factor == 5


def test_a_package_that_imports_the_file_makes_no_second_class(write):
    write({"pkg/__init__.py": "from .own import Mine", "pkg/own.py": own()})
    cls = import_optimizer("pkg/own.py:Mine")
    assert import_optimizer("pkg/__init__.py:Mine").__qualname__ == cls.__qualname__


def test_a_file_whose_neighbour_fails_is_tried_again(write):
    write({"a/own.py": own("from helpers import FACTOR"), "a/helpers.py": "1 / 0"})
    before = set(sys.modules)
    with pytest.raises(HParamError, match=r"cannot import `a/own.py` \(ZeroDivisionError"):
        import_optimizer("a/own.py:Mine")
    assert set(sys.modules) == before
    write({"a/helpers.py": "FACTOR = 1  # mended"})
    assert import_optimizer("a/own.py:Mine").factor == 1


def test_a_function_that_makes_one_is_refused_with_advice(write):
    write({"own.py": own() + "\ndef make(params, lr): return Mine(params, lr)\n"})
    words = "`own.py:make` is no subclass of torch.optim.Optimizer: did you mean Mine; `make` is a function"
    with pytest.raises(HParamError, match=re.escape(words)):
        import_optimizer("own.py:make")


def test_a_name_of_a_family_and_a_path_with_an_equals_sign(write, monkeypatch):
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    write({"a=b/own.py": own(), "later.py": "nothing = None"})
    register_lr_family("a=b/own.py:Mine")
    register_lr_family("Named=a=b/own.py:Mine(momentum=0.5)")
    assert get_family("MineLR").configs[0].optimizer == "a=b/own.py:Mine"
    assert get_family("NamedLR").configs[0].hparams["momentum"] == 0.5


KEYWORDS = """
from torch.optim import SGD, Optimizer

class Any(SGD):
    def __init__(self, params, **kwargs):
        Optimizer.__init__(self, params, SGD([next(iter(params))]).defaults | kwargs)

class Base(Optimizer):
    def __init__(self, params, **kwargs):
        super().__init__(params, kwargs)

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.data.add_(param.grad, alpha=-group["lr"] * group.get("scale", 1.0))

class Named(Base):
    def __init__(self, params, lr, **kwargs):
        super().__init__(params, lr=lr, **kwargs)

class Strict(Base):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
"""


def test_a_constructor_of_any_keywords_is_given_those_that_it_may_know(write):
    write({"own.py": KEYWORDS})
    check_hparams("own.py:Base", {"lr": 0.1, "whatever": 2})
    check_hparams("own.py:Any", {"lr": 0.1, "momentum": 0.9})
    check_hparams("own.py:Named", {"lr": 0.1, "scale": 2.0})
    for name, key in (("Named", "scael"), ("Strict", "scale")):
        with pytest.raises(HParamError, match=f"`own.py:{name}` has no argument `{key}`: it takes lr"):
            check_hparams(f"own.py:{name}", {"lr": 0.1, key: 2.0})
    with pytest.raises(HParamError, match="has no argument `params`"):
        check_hparams("own.py:Base", {"lr": 0.1, "params": 2})
