"""An SVG file becomes markup that shares a page."""

from __future__ import annotations

from optsuite import vis
from optsuite.report._figures import inline

FILE = f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" width="9pt">
 <metadata>
  <rdf resource="http://purl.org/dc"/>
 </metadata>
 <defs><style type="text/css">* {{stroke-linecap: butt}}</style></defs>
 <g id="figure_1"><clipPath id="p1"/>
  <path clip-path="url(#p1)" style="fill: none; stroke: {vis.GRID}"/>
  <use xlink:href="#p1" style="fill:{vis.INK.upper()}; stroke: #123456"/>
  <text style="fill: {vis.INK}">{vis.INK}</text>
 </g>
</svg>
"""


def test_an_svg_file_becomes_part_of_a_page():
    assert inline(FILE, "f3", 'a < "b"') == (
        '<svg role="img" aria-label="a &lt; &quot;b&quot;" xmlns="http://www.w3.org/2000/svg" width="9pt">\n'
        " <defs></defs>\n"
        ' <g id="f3-figure_1"><clipPath id="f3-p1"/>\n'
        '  <path clip-path="url(#f3-p1)" style="fill: none; stroke: var(--grid)"/>\n'
        '  <use xlink:href="#f3-p1" style="fill:currentColor; stroke: #123456"/>\n'
        f'  <text style="fill: currentColor">{vis.INK}</text>\n'
        " </g>\n"
        "</svg>"
    )
