"""The folder of files that are kept on this machine but can be made again."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder `optsuite` in the user's cache folder, `$XDG_CACHE_HOME` or else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "optsuite"
