"""The value that a suite is."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Suite:
    """A fixed contest: what is trained, for how long, with which seeds, and against whom."""

    name: str
    version: int
    """Raised when anything below changes; verdicts name it."""
    about: str
    """Purpose and cost, in a sentence."""
    tasks: tuple[str, ...]
    """Names of the tasks."""
    families: tuple[str, ...]
    """Families of the opponents' sets, e.g. `AdamLR`; their sets are `<family>_<num_steps>_R<num_seeds>`."""
    reference: str
    """Family that speed-ups refer to, one of `families`."""
    num_steps: int
    num_seeds: int

    @property
    def label(self) -> str:
        """Name with version, e.g. `cpu-quick v1`."""
        return f"{self.name} v{self.version}"

    def set_of(self, family: str) -> str:
        """Return the name of a family's hparam set in this suite."""
        return f"{family}_{self.num_steps}_R{self.num_seeds}"
