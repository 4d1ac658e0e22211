"""What a browser would make of a page."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Elements, names of attributes, anchors, sections and words of a page.

    An element that is not closed in turn is an error.
    """

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.tags, self.attributes, self.ids, self.hrefs, self.text = [], [], [], [], {}
        self._open, self._section = [], ""
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, key) for key in named]
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = named["id"]
        if "id" in named:
            self.ids.append(named["id"])
        self.hrefs += [named[key] for key in ("href", "xlink:href", "src") if key in named]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            words = f"{self.text.get(self._section, '')} {data}"
            self.text[self._section] = " ".join(words.split())
