"""SVG files as a page can hold them: several beside each other, in the colours of the page."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree as ET

from optsuite import vis


def is_whole(svg: bytes) -> bool:
    """Return whether a file is an SVG to its end."""
    try:
        return ET.fromstring(svg).tag.endswith("svg")
    except ET.ParseError:
        return False


def inline(svg: str, prefix: str, label: str) -> str:
    """Return the markup of a figure that shares a page with others.

    Prolog, metadata and style sheet (which would hold for the whole page) are left out; ids begin with
    `prefix`; text is in the page's colour and the grid in `var(--grid)`.

    Args:
        svg: Content of an SVG file of `vis.render`.
        prefix: Beginning of ids, another for each figure of a page; letters, digits and `-`.
        label: Description of the figure for people who cannot see it.
    """
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", svg)
    for colour, ours in ((vis.INK, "currentColor"), (vis.GRID, "var(--grid)")):
        svg = re.sub(rf"((?:fill|stroke): ?){re.escape(colour)}\b", rf"\g<1>{ours}", svg, flags=re.IGNORECASE)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
