"""Writing the page."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from optsuite import storage, vis
from optsuite.archives import Absent
from optsuite.normalizers import Normalizer
from optsuite.report._charts import as_json
from optsuite.report._contents import Contents, Figure, SessionFacts, distinct, with_entries
from optsuite.report._figures import make_figures
from optsuite.report._sections import lede, sections
from optsuite.report._words import link, moment, shown
from optsuite.statistics import Results
from optsuite.verdict import Verdict
from optsuite.words import counted


class Written(NamedTuple):
    """Page that was written."""

    url: str
    problems: list[str]
    """Problems with figures, in words."""


def write_report(
    url: str,
    results: Sequence[Results | Absent],
    *,
    figures_url: str | None = None,
    facts: SessionFacts | None = None,
    normalizers: Mapping[str, Mapping[str, Normalizer]] | None = None,
    verdict: Verdict | None = None,
) -> Written:
    """Write a page about results, and its figures as files.

    Figures that this user's sessions drew from the same inputs are read back rather than drawn again; others,
    whoever put them there, are drawn in their place. So older pages keep theirs, and no page holds a figure
    that this code did not draw. Names are shown as text, whatever they hold, and a browser is told to run no
    script but the page's own.

    Args:
        url: URL of the page, e.g. `reports/report.html`; one that is there is replaced.
        results: Results from `statistics.read_results`, of one root or of several.
        figures_url: Folder of the figures; `figures` beside the page if `None`.
        facts: Facts of the session; `None` if the page is made by hand.
        normalizers: Normalizers by name, then by task; each gives a figure of the tasks it has, and one more
            of stand-ins.
        verdict: Verdict about some of the results and of the baselines in the package, which the page begins
            with; its choice of settings is the page's.

    Raises:
        StorageError: The page cannot be written. A figure that cannot be drawn or written is a problem only.
    """
    url = storage.clean_root(url)
    folder = storage.clean_root(figures_url or f"{url[: url.rfind('/') + 1]}figures")
    made = facts.started if facts else datetime.now().astimezone()
    cells = with_entries(distinct(results), verdict)
    contents = Contents(made=made, cells=cells, figures=[], figures_url=folder, facts=facts, verdict=verdict)
    contents.figures.extend(make_figures(contents, normalizers or {}, folder))
    storage.write_bytes(url, _render(contents, url).encode())
    return Written(url, _problems(contents.figures))


def _problems(figures: Sequence[Figure]) -> list[str]:
    """Return what went wrong with figures; one problem for all that could not be written."""
    problems = [f"figure {one.stem}: {one.problem}" for one in figures if not one.is_drawn]
    if unwritten := [one.problem for one in figures if one.is_drawn and one.problem]:
        problems.append(f"{counted(len(unwritten), 'figure')} on the page only: {unwritten[0]}")
    return problems


def _render(contents: Contents, url: str) -> str:
    """Return the page as HTML."""
    told = [(section, section.tell(contents)) for section in sections(contents)]
    environment = _environment()
    scripts = [_vendored("uPlot.iife.min.js"), environment.get_template("script.js").render()]
    return environment.get_template("page.html").render(
        scripts=[Markup(script) for script in scripts],
        script_hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        chart_data=Markup(as_json(contents)),
        chart_style=Markup(_vendored("uPlot.min.css")),
        date=moment(contents.made),
        lede=lede(contents),
        sections=[(section, data) for section, data in told if data],
        looks={name: vis.look(place) for name, place in contents.places.items()},
        link=lambda target: link(target, url),
    )


@cache
def _vendored(name: str) -> str:
    """Return a file of uPlot, with its licence on top."""
    folder = resources.files("optsuite.report") / "vendor"
    return f"/*\n{(folder / 'LICENSE').read_text()}*/\n{(folder / name).read_text()}"


def _hash(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("optsuite.report"),
        autoescape=True,
        finalize=lambda value: value if hasattr(value, "__html__") else shown(str(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
