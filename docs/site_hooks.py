"""Hooks of the site: links to files that are not pages, such as ../benchmarks, become plain text."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page without links that lead out of docs/."""
    folder = posixpath.dirname(page.file.src_uri)

    def keep_or_drop(link: re.Match[str]) -> str:
        outside = posixpath.normpath(posixpath.join(folder, link[2])).startswith("..")
        return link[1] if outside else link[0]

    return LINK.sub(keep_or_drop, markdown)
