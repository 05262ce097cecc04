"""HTML in texts, as help desks and mail programs export it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["has_markup", "strip_markup"]

BLOCKS = ("address", "blockquote", "body", "br", "div", "h[1-6]", "hr", "li", "ol", "p", "pre", "table", "td", "th", "tr", "ul")
INLINE = ("a", "b", "code", "em", "font", "head", "html", "i", "img", "script", "span", "strong", "style", "tbody", "title", "u")
TAG = re.compile(rf"</?(?:{'|'.join((*BLOCKS, *INLINE))})(?:\s[^<>]*)?/?>", re.IGNORECASE)
"""A tag of HTML. Other words in angle brackets, such as `<name>`, are text."""
BLOCK = re.compile("|".join(BLOCKS))
UNSEEN = ("script", "style", "title")
"""Elements whose content no reader sees."""


def has_markup(text: str) -> bool:
    """Return whether a text has tags of HTML."""
    return TAG.search(text) is not None


def strip_markup(text: str) -> str:
    """Return the words of a text without tags of HTML. A text without tags is not changed."""
    if not has_markup(text):
        return text
    words = _Words()
    words.feed(text)
    words.close()
    lines = (" ".join(line.split()) for line in "".join(words.parts).splitlines())
    return "\n".join(line for line in lines if line)


class _Words(HTMLParser):
    """Collects what a browser would show. A block begins a line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in UNSEEN and self._unseen > 0
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _break(self, tag: str) -> None:
        if BLOCK.fullmatch(tag):
            self.parts.append("\n")
