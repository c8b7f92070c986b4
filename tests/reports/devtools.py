"""A headless Chromium over its debugging pipe: pages at a given size, their console, what scripts and keys give."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
WITHOUT = "first-run sandbox default-browser-check"
DISABLED = "gpu quic background-networking component-update sync extensions"
PATIENCE = 90.0  # seconds for one answer: the machine may be busy


class Browser:
    """One browser; `open` gives tabs. Leave it with `close`."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        to_browser, self.pipe_out = os.pipe()
        self.pipe_in, from_browser = os.pipe()
        options = [f"--no-{word}" for word in WITHOUT.split()] + [f"--disable-{word}" for word in DISABLED.split()]
        command = [BROWSER, "--headless", "--remote-debugging-pipe", f"--user-data-dir={self.folder}", *options]
        # The browser reads commands from descriptor 3 and writes answers to 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command]
        self.process = subprocess.Popen(
            shell, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        self.count, self.rest, self.events, self.tab = 0, b"", [], None

    def send(self, method, session=None, **parameters):
        """Send a command and wait for its result; events that come before are kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.pipe_out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method, session=None, **facts):
        """Wait for an event of a tab, or of the browser, that has these facts; it is taken out of `events`."""

        def fits(event):
            found = event.get("params", {})
            mine = event["method"] == method and event.get("sessionId") == session
            return mine and all(found.get(key) == value for key, value in facts.items())

        while not any(fits(event) for event in self.events):
            self.events.append(self._receive())
        self.events = [event for event in self.events if not fits(event)]

    def _receive(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.pipe_in], [], [], max(0.0, deadline - time.monotonic()))
            found = os.read(self.pipe_in, 1 << 16) if ready else b""
            if not found:
                raise RuntimeError("the browser does not answer")
            self.rest += found
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def open(self, page, **how):
        """A tab with `page`, loaded; how: of Tab. The tab before is closed: they take memory."""
        if self.tab is not None:
            self.send("Target.closeTarget", targetId=self.tab.target)
            self.events = []
        self.tab = Tab(self, page, **how)
        return self.tab

    def close(self):
        """End the browser and remove its profile."""
        with contextlib.suppress(OSError, RuntimeError, AssertionError):
            self.send("Browser.close")
        self.process.wait(timeout=30)
        os.close(self.pipe_out)
        os.close(self.pipe_in)
        shutil.rmtree(self.folder, ignore_errors=True)


class Tab:
    """One page. width: of the screen in CSS pixels, below 600 a phone's; scheme: "light" or "dark"; media: "screen" or
    "print"; scripts: False switches JavaScript off.
    """

    def __init__(self, browser, page, *, width=1280, scheme="light", media="screen", scripts=True):
        self.browser, phone = browser, width < 600
        self.target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        size = {"width": width, "height": 844 if phone else 900, "deviceScaleFactor": 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=page.as_uri())
        browser.wait_for("Page.loadEventFired", self.session)

    def send(self, method, **parameters):
        """A command for this tab."""
        return self.browser.send(method, self.session, **parameters)

    def ask(self, expression):
        """The value of a JavaScript expression in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key):
        """Press and let go of a key, e.g. "Tab"."""
        for kind in ("keyDown", "keyUp"):
            codes = {"Tab": 9, "Enter": 13}
            text = {"text": "\r"} if (key, kind) == ("Enter", "keyDown") else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    @property
    def console(self):
        """Everything that the page or the browser complained about."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        self.ask("1")
        return [e["params"] for e in self.browser.events if e.get("sessionId") == self.session and e["method"] in kinds]

    def picture(self, path):
        """A screenshot of the whole page, as PNG; kept in the folder that DEPTHPROBE_SCREENSHOTS names, too."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))
        if kept := os.environ.get("DEPTHPROBE_SCREENSHOTS"):
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
        return path
