"""Make `dvc plots show` and `dvc plots diff` write pages that need no internet. `make plots` calls it.

DVC's own page loads Vega from a server. This page is the same, with Vega inside; it has 0.9 MB, so it is not in Git.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import vl_convert
from dvc_render.html import PAGE_HTML

ROOT = Path(__file__).parents[1]
PAGE = ROOT / ".dvc" / "plots" / "offline.html"
VEGA_LITE = "5.21"
"""Version of Vega-Lite. Templates of DVC are written for version 5."""


def main() -> None:
    scripts = f"<script>{vl_convert.javascript_bundle(vl_version=VEGA_LITE)}</script>"
    PAGE.write_text(PAGE_HTML.replace("{scripts}", scripts), "utf-8")
    page = str(PAGE.relative_to(ROOT / ".dvc"))  # DVC looks for it from this folder
    subprocess.run(["dvc", "config", "--quiet", "--local", "plots.html_template", page], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
