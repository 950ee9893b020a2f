"""A real browser without a screen: Debian's Chromium through its chromedriver, spoken to over HTTP (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.missing import missing

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1600"),
)
COMES_WITHIN = 60.0  # Seconds, for a page that draws itself by its own program.


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, address: str) -> None:
        """Go to a page and wait until it and its pictures are there."""
        _post(f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body in JavaScript returns."""
        return _post(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, *arguments: Any, within: float = COMES_WITHIN) -> Any:
        """The first answer of `script` that is true; fails with the page's text."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = self.run(script, *arguments)
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"nothing came of {script!r} {arguments}; the page says: {self.text()[:3000]}")

    def text(self) -> str:
        """What a person reads on the page."""
        return str(self.run("return document.body.innerText"))

    def resize(self, width: int, height: int) -> None:
        """Make the window so large, in pixels."""
        _post(f"{self._session}/window/rect", {"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        path.write_bytes(base64.b64decode(_get(f"{self._session}/screenshot")))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser that ends with the block; skips the test where Debian's packages are missing."""
    driver = shutil.which("chromedriver")
    if driver is None:
        missing("no chromedriver: apt-get install -y chromium chromium-driver")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ctrkit-browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        base = f"http://127.0.0.1:{port}"
        try:
            _come_up(base, process)
            options = {"goog:chromeOptions": {"args": [*FLAGS, f"--user-data-dir={profile}"]}}
            session = _post(f"{base}/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
            try:
                yield Browser(f"{base}/session/{session}")
            finally:
                _ask(urllib.request.Request(f"{base}/session/{session}", method="DELETE"))  # Ends Chromium, too.
        finally:
            process.terminate()
            process.wait(20)


def _come_up(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "chromedriver ended"
        try:
            if _get(f"{base}/status")["ready"]:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("chromedriver does not answer")


def _get(address: str) -> Any:
    return _ask(urllib.request.Request(address))


def _post(address: str, content: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(address, data=json.dumps(content).encode(), headers=headers))


def _ask(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:2000]) from error
