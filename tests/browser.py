"""A real browser, headless, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOVED = """
import os, sys
commands, answers = (os.dup(os.dup(int(number))) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Program that starts a browser with its pipes where it expects them: commands on descriptor 3, answers on 4."""


class BrowserError(Exception):
    """An error that the browser answers in place of a result."""


class Tab:
    """One page. `events` has the browser's messages about it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, os.fdopen(answers, "rb")
        self._number, self._session = 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(method, answer["error"])
                return answer["result"]

    def open(self, page: Path | str, width: int = 1280, dark: bool = False) -> None:
        """Load a file or an address on a screen of this width, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        result = self._evaluate(expression)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Click into the middle of an element with the mouse."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.ask(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({element}.getBoundingClientRect())")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def wait(self, expression: str, seconds: float = 120) -> None:
        """Wait until a JavaScript expression is true. A page that a program builds up takes some time."""
        deadline = time.monotonic() + seconds
        while not self._is_true(expression):
            assert time.monotonic() < deadline, f"not within {seconds} s: {expression}; the page says: {self.text()[-2000:]}"
            time.sleep(0.3)

    def wait_for_text(self, address: str, text: str, seconds: float) -> None:
        """Load the page again and again, as a person who waits does, until it has this text."""
        deadline = time.monotonic() + seconds
        while True:
            self.open(address)
            with suppress(AssertionError):
                return self.wait(f"document.body.innerText.includes({json.dumps(text)})", 8)
            assert time.monotonic() < deadline, f"not within {seconds} s: {text}; the page says: {self.text()[-2000:]}"

    def settle(self) -> None:
        """Wait until nothing on the page moves any more, except animations without end."""
        endless = "one.effect.getTiming().iterations === Infinity"
        self.wait(f"document.getAnimations().every(one => one.playState !== 'running' || {endless})")

    def click_text(self, selector: str, text: str) -> None:
        """Click on the first of these elements that has the text."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})].find(one => one.innerText.includes({json.dumps(text)}))"
        self.wait(found)
        self.ask(f"{found}.setAttribute('data-clicked', {json.dumps(text)})")
        self.click(f"[data-clicked={json.dumps(text)}]")

    def text(self) -> str:
        """Return the text that a person can read on the page."""
        return str(self.ask("document.body.innerText"))

    def type(self, selector: str, text: str) -> None:
        """Type into a field, in place of its content."""
        self.click(selector)
        self.ask(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def press_enter(self) -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        self.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write the whole page, or what the screen shows of it, as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Return errors and warnings on the console, exceptions, and requests that the page's policy blocked."""
        self.ask("0")  # what was said before has arrived with the answer
        said = []
        for event in self.events:
            parameters = event["params"]
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                said.append(parameters["entry"]["text"])
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                said.append(json.dumps(parameters))
        return said

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, including its own."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def _is_true(self, expression: str) -> bool:
        """True if the expression is true. A failure, as between two pages, counts as false."""
        try:
            return self._evaluate(f"Boolean({expression})")["result"].get("value") is True
        except BrowserError:
            return False

    def _evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)

    def _next(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has gone"
            content += byte
        message: dict[str, Any] = json.loads(content)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def open_tab(browser: str, profile: Path) -> Iterator[Tab]:
    """Open a tab of a browser that ends with the block.

    Args:
        profile: folder for the browser's own files.
    """
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            MOVED,
            str(to_browser),
            str(from_browser),
            browser,
            *options,
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
            "about:blank",
        ],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Tab(from_us, to_us)
    finally:
        os.close(from_us)
        process.terminate()
        process.wait(20)


def find_browser() -> str | None:
    """Return the browser's path, or None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
