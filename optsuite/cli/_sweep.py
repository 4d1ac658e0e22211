"""Commands that train: plan, run."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from optsuite import backends, data, sweep, trainer
from optsuite.cli._text import Commands
from optsuite.curves import Curve
from optsuite.errors import OptsuiteError, in_words
from optsuite.words import counted, duration, seconds_in

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Declare the commands."""
    planning = commands.add_parser("plan", help="what training cells would cost, cell by cell")
    _add_cells(planning)
    planning.set_defaults(run=_plan)

    running = commands.add_parser("run", help="train cells, record their curves and archive them")
    _add_cells(running)
    running.set_defaults(run=_run)


def _add_cells(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="name or glob")
    parser.add_argument("set", metavar="SET", help="glob over the published sets, or the name of any set")
    parser.add_argument("--data", choices=data.MODES, help="(default: $OPTSUITE_DATA or auto)")
    parser.add_argument("--storage", metavar="URL", help="of the curves (default: $LOPT_BASELINE_DIR)")
    parser.add_argument("--archives", metavar="URL", help="(default: <storage>_archives)")
    parser.add_argument("--rerun", choices=sweep.RERUNS, default="missing", help="(default: missing)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:N")
    parser.add_argument("--budget", type=_time, metavar="TIME", help="keep the cheapest cells, e.g. 2h")
    parser.add_argument("--backend", choices=backends.BACKENDS, default="local", help="(default: local)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes, or workers that dask starts")
    parser.add_argument("--dask-address", metavar="ADDRESS", help="scheduler of a Dask cluster")


def _time(text: str) -> float:
    try:
        return seconds_in(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _planned(args: argparse.Namespace) -> sweep.Plan:
    """The plan of the cells that are asked for, with what is left out of it told."""
    device = trainer.resolve_device(args.device)
    matrix = sweep.make_matrix(preset="full", tasks=args.task, sets=args.set, device=device)
    plan = sweep.plan(
        {cell: cell.hparam_set.configs for cell in matrix.cells},
        roots=(args.storage, args.archives),
        mode=args.data,
        rerun=args.rerun,
        device=device,
        num_workers=backends.count_workers(
            args.backend, device=args.device, num_workers=args.workers, dask_address=args.dask_address
        ),
    )
    left_out: list[sweep.Cell] = []
    if args.budget:
        plan, left_out = plan.within(args.budget)
    stores = [sweep.Store.at(args.storage, args.archives, s) for s in sorted(set(plan.sources.values()))]
    budget = f"the budget of {duration(args.budget or 0)}"
    for line in (
        *sweep.plan_lines(plan, stores, device, "as named"),
        *sweep.left_out_lines(left_out, budget, "that do not fit; give more time, or name what matters most"),
    ):
        print(line)
    return plan


def _plan(args: argparse.Namespace) -> int:
    print("\n".join(sweep.plan_table(_planned(args))))
    return 0


def _run(args: argparse.Namespace) -> int:
    roots = (args.storage, args.archives)
    cells = {cell.name: cell for cell in _planned(args).cells}
    prepared = [
        sweep.prepare(cell, cell.hparam_set.configs, roots=roots, mode=args.data, rerun=args.rerun)
        for cell in cells.values()
    ]
    jobs = [job for job, _ in prepared if job.trials]
    for store in dict.fromkeys(job.store for job in jobs):
        store.check_writable()
    num_failed = sum(isinstance(o.result, Exception) for _, outcomes in prepared for o in outcomes)
    with _backend(args, jobs) as backend:
        for parts in sweep.share_out(jobs, backend.num_workers):
            for part in parts:
                backend.submit(part)
        for job, outcomes in backend.as_completed():
            causes = dict.fromkeys(in_words(o.result) for o in outcomes if isinstance(o.result, Exception))
            num_trained = sum(isinstance(o.result, Curve) for o in outcomes)
            num_failed += len(outcomes) - num_trained
            print(f"{job.name}: {counted(num_trained, 'trial')} trained", flush=True)
            for cause in causes:
                print(f"{job.name}: failed: {cause}", file=sys.stderr)
    archived = [sweep.archive_cell(cell, cell.source(args.data), roots) for cell in cells.values()]
    print(f"complete cells archived: {sum(url is not None for url in archived)} of {len(archived)}")
    if num_failed:
        raise OptsuiteError(f"{counted(num_failed, 'trial')} failed; run again to try those alone")
    return 0


@contextlib.contextmanager
def _backend(args: argparse.Namespace, jobs: list[sweep.Job]) -> Iterator[backends.Backend]:
    """The back end that is asked for, closed in the end, with no mark of it left in the stores."""
    site = backends.Site.of_this_process()
    with contextlib.ExitStack() as stack:
        for store in dict.fromkeys(job.store for job in jobs if args.backend != "local"):
            site.sign(store)
            stack.callback(site.leave, store)
        backend = backends.open_backend(
            args.backend,
            site,
            lambda _job, _done, _total: None,
            device=args.device,
            num_workers=args.workers,
            dask_address=args.dask_address,
        )
        stack.callback(backend.close)
        yield backend
