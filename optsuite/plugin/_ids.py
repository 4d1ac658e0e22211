"""Names of configs and cells in the ids of items, read without importing anything heavy."""

import re

# xdist's loadgroup appends `@<group>` to the ids of items with a group.
_ID = re.compile(r"\[(\w+-\w+_R\d+-[^]]+)\](?:@[^\]]*)?$")


def config_of(nodeid: str) -> str | None:
    """Return `<task>-<set>-<config label>` from the id of a benchmark, else None."""
    match = _ID.search(nodeid)
    return match[1] if match else None


def cell_of(nodeid: str) -> str | None:
    """Return `<task>-<set>` from the id of a benchmark, else None."""
    name = config_of(nodeid)
    return "-".join(name.split("-", 2)[:2]) if name else None
