"""The grammar of the command line: every subcommand, its arguments, and the function that runs it.

Declaring it imports nothing heavy; the module of a command is imported when the command runs.
"""

import argparse
import importlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from optsuite import _arguments, choices
from optsuite.cli._parser import Parser, PrintCompletion

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Object on which subcommands are declared."""


def make_parser() -> argparse.ArgumentParser:
    """Declare all commands; the `run` of parsed arguments says where the command's function is."""
    parser: argparse.ArgumentParser = Parser(prog="optsuite", description="Benchmarks for optimizers.")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=choices.SHELLS,
        help="print a script with which a shell completes commands and options, and end",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_catalogue(commands)
    _add_verify(commands)
    _add_sweep(commands)
    _add_meta_train(commands)
    _add_upload(commands)
    _add_results(commands)
    _add_compare(commands)
    _add_verdict(commands)
    _add_contest(commands)
    return parser


def function_of(args: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    """Import the module of a parsed command and return the function that runs it."""
    module, function = args.run
    run: Callable[[argparse.Namespace], int] = getattr(
        importlib.import_module(f"optsuite.cli.{module}"), function
    )
    return run


def _command(commands: _Commands, name: str, words: str, *function: str) -> argparse.ArgumentParser:
    """Declare a command that is run by a function, given as its module and its name."""
    parser = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    parser.set_defaults(run=function, status_of_errors=1)
    return parser


def _add_catalogue(commands: _Commands) -> None:
    """Declare the commands that say what there is."""
    tasks = _command(commands, "tasks", "list the fixed tasks", "_catalogue", "show_tasks")
    sets = _command(commands, "sets", "list the published hparam sets", "_sets", "show_sets")
    for parser in (tasks, sets):
        parser.add_argument("pattern", nargs="?", default="*", metavar="GLOB")
    _add_own_sets(sets)
    tasks.add_argument(
        "--operations",
        action="store_true",
        help="also show the floating-point operations of a training step",
    )

    data = commands.add_parser("data", help="list, fetch and find datasets")
    of_data = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(of_data, "list", "list every dataset, and whether it is here", "_catalogue", "list_data")
    fetching = _command(of_data, "fetch", "download datasets", "_catalogue", "fetch_data")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="e.g. cifar10")
    path = _command(
        of_data, "path", "print the folder of all datasets, or of one", "_catalogue", "show_data_path"
    )
    path.add_argument("name", nargs="?", metavar="NAME")


def _add_verify(commands: _Commands) -> None:
    """Declare the command that compares two optimizers."""
    parser = _command(
        commands,
        "verify",
        "tell whether two optimizers make the same trajectory; the exit status is 0 if they do, 1 if they "
        "differ, 2 after an error",
        "_verify",
        "verify",
    )
    parser.add_argument(
        "optimizer",
        metavar="OPTIMIZER",
        help="name or MODULE:CLASS, with hyperparameters: 'Adam+clip', 'my.py:Mine(lr=0.01)'; where one of "
        "the two has no lr, it gets that of the other, else the default of one of them, else 0.001",
    )
    parser.add_argument("--against", metavar="OPTIMIZER", required=True, help="the other optimizer")
    parser.add_argument(
        "--steps", metavar="N", type=_arguments.count, default=100, help="1 to 100,000 (default: 100)"
    )
    parser.add_argument(
        "--rtol",
        metavar="SHARE",
        type=float,
        default=1e-4,
        help="difference that counts as rounding, as a share of how far parameters have moved "
        "(default: 0.0001)",
    )
    parser.set_defaults(status_of_errors=2)


def _add_sweep(commands: _Commands) -> None:
    """Declare the commands that train."""
    planning = _command(
        commands, "plan", "say what training cells would cost, cell by cell", "_sweep", "plan"
    )
    _add_training(planning, *(name for name in _arguments.RUN if name != "report"))
    planning.set_defaults(report="off")  # a plan has none

    running = _command(
        commands, "run", "train cells (tasks crossed with sets), archive and report them", "_sweep", "run"
    )
    _add_training(running, *_arguments.RUN)


def _add_training(parser: argparse.ArgumentParser, *options: str) -> None:
    """Declare which cells are trained, and how."""
    parser.add_argument("task", metavar="TASK", help="name or glob")
    parser.add_argument("set", metavar="SET", help="glob over the published sets, or the name of any set")
    _add_own_sets(parser)
    _add_shared(parser, *options)


def _add_own_sets(parser: argparse.ArgumentParser) -> None:
    """Declare the options that add sets: of learned optimizers, and of grids."""
    parser.add_argument(
        "--lopt", action="append", default=[], metavar=_arguments.LOPT_METAVAR, help=_arguments.LOPT_HELP
    )
    parser.add_argument(
        "--grid", action="append", default=[], metavar=_arguments.GRID_METAVAR, help=_arguments.GRID_HELP
    )


def _add_shared(parser: argparse.ArgumentParser, *options: str) -> None:
    """Declare options that pytest has too."""
    _add_arguments(parser, {name: _arguments.RUN[name] for name in options})


def _add_arguments(parser: argparse.ArgumentParser, arguments: Mapping[str, _arguments.Argument]) -> None:
    """Declare options by name."""
    for name, argument in arguments.items():
        keywords = argument.keywords | {"default": argument.default}
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)


def _add_meta_train(commands: _Commands) -> None:
    """Declare the command that trains a learned optimizer."""
    parser = _command(
        commands,
        "meta-train",
        "train a learned optimizer on tasks; a second run goes on where it was interrupted",
        "_meta_train",
        "train",
    )
    parser.add_argument("kind", metavar="KIND", help="e.g. AdafacMLPLOpt, LearnableAdam")
    parser.add_argument(
        "tasks", nargs="+", metavar="TASK", help="name; the loss is the mean over all of them"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="URL",
        help="checkpoint, ends in .safetensors; the losses (.losses.csv), a plot of them (.losses.png) and, "
        "until the end, the state (.state.npz) lie beside it (default: <KIND>.safetensors)",
    )
    _add_arguments(parser, _arguments.META_TRAINING)
    for name, whose in (("architecture", "the learned optimizer"), ("hparam", "--optimizer")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            type=_arguments.setting,
            metavar="NAME=VALUE",
            help=f"an argument of {whose}; may be given again",
        )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew; what lies at the output is replaced"
    )
    _add_shared(parser, "data", "device")


def _add_results(commands: _Commands) -> None:
    """Declare the commands that read what was recorded: status, archive, and those that show it."""
    status = _command(
        commands, "status", "say what is recorded, failed, being trained and stopped", "_status", "status"
    )
    status.add_argument("task", nargs="?", default="*", metavar="TASK", help="name or glob (default: all)")
    status.add_argument("sets", nargs="*", default=["*"], metavar="SET", help="names or globs (default: all)")
    _add_own_sets(status)
    _add_shared(status, "storage", "archives", "precision")
    status.add_argument("--data", choices=("real", "synthetic"), help="kind of data (default: both)")

    archive = _command(
        commands, "archive", "stack the curves of complete cells into archives", "_results", "archive"
    )
    archive.add_argument("task", metavar="TASK", help="name, or glob over the tasks that have curves")
    archive.add_argument("sets", nargs="+", metavar="SET", help="names, or globs over what is recorded")
    _add_own_sets(archive)
    _add_roots(archive)
    _add_shown(commands)


def _add_shown(commands: _Commands) -> None:
    """Declare the commands that show archives: table, plot, report, normalizer."""
    table = _command(
        commands, "table", "print a table of results, or write it as CSV or Parquet", "_results", "table"
    )
    _add_archived(table, is_optional=True)
    table.add_argument(
        "--kind",
        choices=("summary", "archive", "curves"),
        default="summary",
        help="summary: a row a cell; archive: every point; curves: every point of curves that no archive "
        "needs to hold; its SETs are labels of configs, e.g. 'Adam_lr*'",
    )
    table.add_argument(
        "-o", "--output", metavar="URL", help="a .csv or .parquet; else text, or CSV of points"
    )

    plot = _command(commands, "plot", "draw a figure as PNG or SVG", "_results", "plot")
    _add_archived(plot)
    plot.add_argument("--kind", choices=("curves", "lr", "final", "normalized"), default="curves")
    plot.add_argument(
        "--initial-shift",
        type=float,
        default=500,
        metavar="STEP",
        help="the y axis of curves ends at the lowest loss after this step (default: 500)",
    )
    plot.add_argument("--normalizer", metavar="URL", help="JSON file for --kind normalized")
    plot.add_argument("-o", "--output", metavar="URL", required=True, help="ends in .png or .svg")

    report = _command(commands, "report", "write one page with tables and figures", "_results", "report")
    _add_archived(report, is_optional=True)
    report.add_argument("-o", "--output", metavar="URL", help="(default: <storage>_reports/report.html)")
    report.add_argument("--of", metavar="NAME", help="begin with the verdict on this optimizer, as `verdict`")
    report.add_argument("--against", nargs="+", default=[], metavar="NAME", help="as for `verdict`")

    normalizer = _command(
        commands, "normalizer", "build the scale that makes tasks comparable", "_results", "normalizer"
    )
    normalizer.add_argument("name", metavar="NAME", help="e.g. speedup_over_adam, speedup_over_adam_2000_R5")
    normalizer.add_argument("tasks", nargs="*", default=["*"], metavar="TASK", help="names or globs")
    normalizer.add_argument("-o", "--output", metavar="URL", help="(default: <archives>/<NAME>.json)")
    normalizer.add_argument("--overwrite", action="store_true", help="replace tasks that the file has")
    _add_roots(normalizer)


def _add_compare(commands: _Commands) -> None:
    """Declare the commands that compare stores, and nights."""
    parser = _command(
        commands,
        "compare",
        "compare the same trials in two stores, e.g. of last night and tonight; the exit status is 0 if all "
        "that differs is noise, 3 after a real change of loss, 4 if B is slower, 1 after an error or if "
        "nothing compares",
        "_compare",
        "compare",
    )
    parser.add_argument("a", metavar="A", help="root of the archives before")
    parser.add_argument("b", metavar="B", help="root of the archives after")
    parser.add_argument("task", nargs="?", default="*", metavar="TASK", help="name or glob (default: all)")
    parser.add_argument("sets", nargs="*", default=["*"], metavar="SET", help="names or globs (default: all)")
    parser.add_argument(
        "--train",
        nargs=2,
        metavar=("BASE", "HEAD"),
        help="first train these cells into A and B, two new folders, by two installations of optsuite in "
        "turn, so that their speeds compare; each is a Python interpreter, or a folder with the source",
    )
    parser.add_argument(
        "--rounds", metavar="N", type=_arguments.count, default=20, help="rounds of --train (default: 20)"
    )
    parser.add_argument("--data", choices=("real", "synthetic"), default="real", help="data of --train")
    parser.add_argument("--json", action="store_true", help="print JSON in place of words")
    parser.add_argument("-o", "--output", metavar="URL", help="also write the JSON to a file")

    history = _command(
        commands, "history", "add archives to a history of nights, and draw it", "_compare", "history"
    )
    history.add_argument("roots", nargs="+", metavar="ARCHIVES", help="root of tonight's archives")
    history.add_argument(
        "-o", "--output", metavar="URL", required=True, help="a .csv; the figure is the .png beside it"
    )
    history.add_argument("--commit", metavar="NAME", help="what was run (default: $GITHUB_SHA)")


def _add_verdict(commands: _Commands) -> None:
    """Declare the command that judges an optimizer."""
    parser = _command(
        commands,
        "verdict",
        "tell whether an optimizer is better than others, by how much, and how sure that is",
        "_verdict",
        "verdict_of",
    )
    parser.add_argument(
        "tasks",
        nargs="*",
        default=["*"],
        metavar="TASK",
        help="names or globs (default: all it was trained on)",
    )
    parser.add_argument(
        "--of", required=True, metavar="NAME", help="optimizer, family or set: Mine, MineLR_2000_R5"
    )
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names or globs (default: the suite's, or Adam)",
    )
    parser.add_argument("--suite", metavar="NAME", help="take tasks, others and steps of a suite")
    parser.add_argument(
        "--steps", type=_arguments.count, metavar="N", help="length of the sets, if it has several"
    )
    parser.add_argument(
        "--untuned", action="store_true", help="judge each by one setting for all tasks, the best over them"
    )
    _add_judging(parser)
    _add_roots(parser)


def _add_judging(parser: argparse.ArgumentParser) -> None:
    """Declare how a verdict is reached and shown."""
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="the one that ratios refer to (default: the suite's, or Adam, or the first of the others)",
    )
    parser.add_argument(
        "--rule",
        choices=choices.RULES,
        default="last",
        help="how the best setting is chosen and judged; last: last loss on training data; smoothed: its "
        "average over the last evaluations; validation: chosen on outer_valid, judged on test (default: "
        "last)",
    )
    parser.add_argument("--by-task", action="store_true", help="print or write a row for each task, too")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument("-o", "--output", metavar="URL", help="write it to a .json, .csv, .parquet or .tex")


def _add_contest(commands: _Commands) -> None:
    """Declare the commands of suites."""
    listing = _command(
        commands, "suites", "list the suites that contests are held on", "_suites", "show_suites"
    )
    listing.add_argument("pattern", nargs="?", default="*", metavar="GLOB")
    listing.add_argument(
        "--cost",
        action="store_true",
        help="also estimate what one optimizer costs here, in seconds to a minute",
    )
    listing.add_argument("--json", action="store_true", help="print all that a suite says as JSON")

    parser = _command(
        commands,
        "contest",
        "train an optimizer on a suite, on real data unless --data says otherwise, as far as that is not "
        "recorded, and judge it",
        "_contest",
        "contest",
    )
    parser.add_argument(
        "optimizer",
        metavar="OPTIMIZER",
        help="a torch.optim.Optimizer such as path/to/my.py:Mine, 'NAME=torch.optim:SGD(momentum=0.9)', at "
        "15 learning rates; or the name of an optimizer, a family, or a --grid",
    )
    parser.add_argument(
        "--suite", required=True, metavar="NAME", help="one of `optsuite suites`, or a .toml file of your own"
    )
    parser.add_argument(
        "--opponents",
        action="append",
        default=[],
        metavar="NAME",
        help="name of an optimizer, which is trained where neither you nor optsuite have its results, or "
        "glob over the families that come with optsuite; may be repeated (default: the suite's)",
    )
    parser.add_argument(
        "--untuned",
        action="store_true",
        help="one setting for all tasks: the defaults of OPTIMIZER, or those in its brackets, "
        "'my.py:Mine(lr=0.01)'; others have one setting for all tasks too, their best",
    )
    _add_judging(parser)
    _add_own_sets(parser)
    _add_shared(parser, *_arguments.RUN)


def _add_upload(commands: _Commands) -> None:
    """Declare the command that stores what could not be stored."""
    parser = _command(
        commands,
        "upload",
        "store the curves that could not be stored when they were recorded, and wait on this machine",
        "_upload",
        "upload",
    )
    parser.add_argument(
        "--storage", metavar="URL", help="path or URL of the curves, on any kind of data (default: all)"
    )


def _add_archived(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    """Declare which archived cells are read: one task or glob, and any number of sets."""
    nargs = "?" if is_optional else None
    parser.add_argument("task", nargs=nargs, default="*", metavar="TASK", help="name or glob")
    parser.add_argument(
        "sets",
        nargs="*",
        default=["*"],
        metavar="SET",
        help="names or globs (default: all that are archived)",
    )
    _add_roots(parser)


def _add_roots(parser: argparse.ArgumentParser) -> None:
    """Declare where results lie."""
    _add_shared(parser, "storage", "archives", "precision")
    parser.add_argument(
        "--data",
        choices=("real", "synthetic"),
        default="real",
        help="synthetic: results on stand-in data, which lie under <root>_synthetic (default: real)",
    )
