"""Options of a run, as one value that every face fills in."""

from collections.abc import Iterable
from dataclasses import dataclass

from optsuite import backends, sweep
from optsuite.errors import OptsuiteError
from optsuite.storage import Store


@dataclass(frozen=True, kw_only=True)
class RunOptions(backends.BackendOptions):
    """Options of how cells run and where results lie; None leaves a choice to the room that makes it."""

    data: str | None = None
    """Data to train on: auto, real or synthetic; None reads `OPTSUITE_DATA`."""
    storage: str | None = None
    """Root of the curves, before the endings for stand-ins and precisions; as for `Store.at`."""
    archives: str | None = None
    """Root of the archives, likewise."""
    precision: str = "float32"
    """Precision of products and convolutions, as for `Trial`."""
    rerun: str = "missing"
    """One of `choices.RERUNS`."""
    checkpoint: float = 600.0
    """Seconds of training after which the state of a group of trials is saved again; infinite: only where a
    run is stopped."""
    budget: float | None = None
    """Seconds that the cells may take; None lets all of them run."""
    report: bool = True
    """Whether to draw figures and to write the page."""

    @property
    def roots(self) -> tuple[str | None, str | None]:
        """Roots of curves and archives, as `Store.at` takes them."""
        return self.storage, self.archives

    def source(self, cell: sweep.Cell) -> str:
        """Return the kind of data of a cell; empty where it is missing, which its trials will report."""
        try:
            return cell.source(self.data)
        except OptsuiteError:
            return ""

    def store(self, source: str) -> Store:
        """Return the store of results on that kind of data."""
        return Store.at(*self.roots, source, self.precision)

    def stores(self, sources: Iterable[str]) -> list[Store]:
        """Return the stores of results on those kinds of data; an empty kind has none."""
        return [self.store(source) for source in sorted(set(sources) - {""})]
