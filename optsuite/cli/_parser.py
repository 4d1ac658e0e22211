"""The parser of commands: no value replaces another unnoticed, help ends in examples, shells complete."""

import argparse
from typing import Any

from optsuite import _arguments
from optsuite.cli._examples import epilog
from optsuite.errors import OptsuiteError, import_extra


class _Formatter(argparse.HelpFormatter):
    """Formatter that leaves examples in their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Parser of a command, in which no value replaces another one unnoticed."""

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**{"formatter_class": _Formatter} | keywords)
        self.epilog = self.epilog or epilog(self.prog.partition(" ")[2])
        for action in (None, "store"):
            self.register("action", action, _arguments.Once)


class PrintCompletion(argparse.Action):
    """Action that prints what a shell needs to complete commands, and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's protocol
        values: Any,  # noqa: ANN401 - likewise
        option_string: str | None = None,
    ) -> None:
        try:
            shtab = import_extra("shtab", "completion", f"{option_string} needs shtab", OptsuiteError)
        except OptsuiteError as error:
            parser.error(str(error))
        print(shtab.complete(parser, shell=values))
        parser.exit()
