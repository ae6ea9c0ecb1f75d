"""A small report, and Chromium spoken to over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldweave.report.run import RunReport

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",  # so that nothing plays by itself
    "--hide-scrollbars",
    "--window-size=1400,2600",
    "--remote-debugging-pipe",
)
#: Seconds after which the browser is taken to hang.
_PATIENCE = 90


@pytest.fixture(scope="session")
def run_report(clip) -> Callable[..., RunReport]:
    """Make a report of two modalities with other maps in each corner and frame."""
    rows, columns = 4, 6
    edge = np.zeros((len(clip), rows, columns), np.float32)
    edge[:, :, :3] = np.linspace(0.1, 1.0, len(clip))[:, None, None]
    foreground = np.zeros((len(clip), 64, 96), bool)
    foreground[:, :, :48] = True

    def make(**other: Any) -> RunReport:
        settings = {
            "title": "A run",
            "prompt": "two cars",
            "base": "tiny-world",
            "frames": clip[::-1],
            "source": clip,
            "controls": {"edge": 255 - clip, "vis": clip},
            "effective": {"edge": edge, "vis": 1 - edge},
            "regions": {"foreground": foreground},
            "fps": Fraction(24),
            "chunk_starts": (0, 5),
            "request": {"seed": 3},
            "facts": (("seed", "3"),),
            "licences": (("tiny-world", "Apache-2.0", "https://example.org"),),
        }
        return RunReport(**(settings | other))

    return make


class Browser:
    """One tab of a headless Chromium; `call` is a command of its DevTools protocol."""

    def __init__(self, program: str, home: Path) -> None:
        ours_out, theirs_in = os.pipe()
        theirs_out, ours_in = os.pipe()
        # Chromium reads commands from 3 and answers on 4, whatever those are here.
        command = f'exec "$@" 3<&{ours_out} 4>&{ours_in}'
        arguments = [program, *_FLAGS, f"--user-data-dir={home}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", *arguments],
            pass_fds=(ours_out, ours_in),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours_out)
        os.close(ours_in)
        self._write = os.fdopen(theirs_in, "wb")
        self._read = os.fdopen(theirs_out, "rb")
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.loads: list[str] = []
        self._killer = threading.Timer(_PATIENCE, self._process.kill)
        self._killer.start()
        (tab,) = (
            target
            for target in self.call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        )
        where = {"targetId": tab["targetId"], "flatten": True}
        self._session = self.call("Target.attachToTarget", **where)["sessionId"]
        self.call("Network.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; note what loads meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = json.loads(self._next())
            if answer.get("method") == "Network.requestWillBeSent":
                self.loads.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self) -> bytes:
        while b"\0" not in self._rest:
            more = os.read(self._read.fileno(), 1 << 20)
            assert more, "Chromium ended, or hung and was ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return message

    def open(self, page: Path) -> None:
        """Load *page* and wait until each of its clips shows its first frame."""
        self.call("Page.navigate", url=page.as_uri())
        self.value(
            """new Promise(done => {
              const ready = () => {
                const videos = [...document.querySelectorAll("video")];
                const all = document.readyState === "complete"
                  && location.protocol === "file:"
                  && videos.every(v => v.readyState >= 2 && v.dataset.shown === "0");
                if (all) done(true); else setTimeout(ready, 50);
              };
              ready();
            })"""
        )

    def value(self, expression: str) -> Any:
        """Return the value of *expression* in the page; of a promise, its outcome."""
        found = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path: Path) -> Path:
        """Save what is seen as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        self._killer.cancel()
        self._write.close()
        self._read.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; without one the test is skipped, in CI it fails."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        if "CI" in os.environ and "WORLDWEAVE_NO_BROWSER" not in os.environ:
            pytest.fail("no Chromium; install it or set WORLDWEAVE_NO_BROWSER=1")
        pytest.skip("no Chromium on this machine")
    opened = Browser(program, tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()
