"""Help and completion: every command has examples that parse, and shells accept what they are given."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys

import pytest

from optsuite.choices import SHELLS
from optsuite.cli import main
from optsuite.cli._commands import make_parser
from optsuite.cli._examples import EXAMPLES


def parsers(parser, name=""):
    """Every command's parser by its name, without that of `optsuite` itself."""
    found = {name: parser} if name else {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                found |= parsers(child, f"{name} {word}".strip())
    return found


@pytest.mark.parametrize("name", parsers(make_parser()))
def test_help_ends_in_examples(name):
    help_text = parsers(make_parser())[name].format_help()
    assert f"examples:\n  optsuite {name}" in help_text


def test_there_are_no_examples_of_other_commands():
    assert parsers(make_parser()).keys() >= EXAMPLES.keys()


@pytest.mark.parametrize(
    "line", [f"{name} {words}" for name, examples in EXAMPLES.items() for words in examples]
)
def test_examples_parse(line):
    assert make_parser().parse_args(shlex.split(line)).run


@pytest.fixture
def script(capsys):
    def script(shell):
        with pytest.raises(SystemExit) as stop:
            main(["--print-completion", shell])
        assert stop.value.code == 0
        return capsys.readouterr().out

    return script


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_accept_the_script(script, shell):
    if shutil.which(shell) is None and shell != "bash":
        assert "optsuite" in script(shell)
    else:
        subprocess.run([shell, "-n"], input=script(shell), text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("optsuite ta", {"tasks", "table"}), ("optsuite compare --tr", {"--train"})],
)
def test_bash_completes_commands_and_options(script, typed, completed):
    words = typed.split()
    last = f"""
    COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE={typed!r}; COMP_POINT={len(typed)}
    function=$(complete -p optsuite | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    $function optsuite {words[-1]} {words[-2]}
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash"], input=script("bash") + last, text=True, capture_output=True, check=True)
    assert set(done.stdout.split()) == completed


def test_without_shtab_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as stop:
        main(["--print-completion", "bash"])
    assert stop.value.code == 2
    assert "pip install 'optsuite[completion]'" in capsys.readouterr().err
