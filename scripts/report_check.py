#!/usr/bin/env python3
"""Opens report pages in headless Chromium and uses them as a person would.

Fails on any error of the page's script, on any request to the network, and where a page does not
show what it should. Says so, and exits with 0, where no Chromium is installed; with --must, 2.

    python3 scripts/report_check.py --sim target/release/vivarium-sim [--screenshots FOLDER]
    python3 scripts/report_check.py page.html ..
"""

import argparse
import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--window-size=1600,1000", "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE_S = 60
# One that passes, and a long one.
RUNS = [["1"], ["7", "--servers", "5", "--sim-seconds", "60"]]


class Broken(Exception):
    """A page that does not do what it should."""


class Browser:
    """Chromium behind its debugging pipe: JSON messages that end with a zero byte."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="vivarium-report-")
        to_browser, self.send_fd = os.pipe()
        self.receive_fd, from_browser = os.pipe()

        def wire():
            # The browser reads from descriptor 3 and writes to 4.
            reading, writing = os.dup(to_browser), os.dup(from_browser)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=wire,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.ask(f"{domain}.enable")

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.send_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Broken(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self):
        until = time.monotonic() + PATIENCE_S
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.receive_fd], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise Broken(f"the browser said nothing for {PATIENCE_S} s")
            got = os.read(self.receive_fd, 1 << 20)
            if not got:
                raise Broken("the browser is gone")
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

    def evaluate(self, script):
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise Broken(f"{script}: {text_of(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def open(self, page):
        self.events.clear()
        self.ask("Page.navigate", url=page.absolute().as_uri())
        until = time.monotonic() + PATIENCE_S
        ready = f"location.href == '{page.absolute().as_uri()}' && document.documentElement?.dataset.ready"
        while self.evaluate(ready) != "true":
            self.complain()
            if time.monotonic() > until:
                raise Broken("the page never got ready")
            time.sleep(0.05)

    def complain(self):
        """Raises what the page's script, or the page's hunger for the network, did wrong."""
        for event in self.events:
            method, params = event["method"], event.get("params", {})
            if method == "Runtime.exceptionThrown":
                raise Broken(f"the script failed: {text_of(params['exceptionDetails'])}")
            if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                said = [arg.get("value", arg.get("description", "")) for arg in params["args"]]
                raise Broken(f"on the console: {said}")
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                raise Broken(f"in the log: {params['entry']['text']}")
            if method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    raise Broken(f"asks the network for {url}")

    def key(self, key):
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind, x, y, **more):
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def prefer(self, scheme):
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def screenshot(self, file):
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


def text_of(details):
    return details.get("exception", {}).get("description") or details.get("text", "")


def expect(condition, what):
    if not condition:
        raise Broken(what)


INK = """(() => {
  const canvas = document.getElementById('picture');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4 * 97) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return colours.size;
})()"""
FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def use(browser, page, folder):
    """What a person does with a page; what should have changed is looked at after each step."""
    started = time.monotonic()
    browser.prefer("light")
    browser.open(page)
    took = time.monotonic() - started
    browser.evaluate(FRAME)
    expect(browser.evaluate(INK) > 12, "the picture is empty")
    shoot(browser, page, folder, "light")
    browser.prefer("dark")
    browser.evaluate(FRAME)
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    shoot(browser, page, folder, "dark")
    browser.prefer("light")
    browser.evaluate(FRAME)
    expect(browser.evaluate("getComputedStyle(document.body).backgroundColor") != dark, "one theme only")

    status = "document.getElementById('status').textContent"
    before = browser.evaluate(status)
    box = browser.evaluate("(({x, y, width, height}) => ({x, y, width, height}))"
                           "(document.getElementById('picture').getBoundingClientRect())")  # fmt: skip
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    browser.evaluate(FRAME)
    expect(browser.evaluate(status) != before, "the wheel does not zoom")
    zoomed = browser.evaluate(status)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x - 90, y, button="left")
    browser.mouse("mouseReleased", x - 90, y, button="left", clickCount=1)
    browser.evaluate(FRAME)
    expect(browser.evaluate(status) != zoomed, "dragging does not move")
    for step in range(12):
        browser.mouse("mouseMoved", box["x"] + 80 + step * 60, y - 40 + step * 7)

    browser.evaluate("document.body.focus()")
    browser.key("0")
    browser.evaluate(FRAME)
    shoot(browser, page, folder, "whole")
    search(browser)
    choose(browser)
    browser.complain()
    drawn = browser.evaluate(f"(async () => {{ const t = performance.now(); {BUSY} return performance.now() - t; }})()")
    return took, drawn / 10


BUSY = "for (let i = 0; i < 10; i++) document.getElementById('whole').click(), await new Promise(requestAnimationFrame);"


def search(browser):
    count = "document.getElementById('count').textContent"
    browser.evaluate("document.querySelector('input[name=listed][value=all]').click()")
    all_events = browser.evaluate(count)
    browser.evaluate(
        "{ const s = document.getElementById('search'); s.value = 'boots'; s.dispatchEvent(new Event('input')); }"
    )
    browser.evaluate(FRAME)
    expect("found" in browser.evaluate("document.getElementById('found').textContent"), "nothing was searched")
    expect(browser.evaluate(count) != all_events, "the search does not filter the list")
    expect(
        browser.evaluate("[...document.querySelectorAll('.row .text')].every((row) => /boots/.test(row.textContent))"),
        "the list shows what was not searched for",
    )
    browser.evaluate(
        "{ const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input')); }"
    )
    browser.evaluate("document.querySelector('#nodes input').click()")
    browser.evaluate(FRAME)
    expect(browser.evaluate(count) != all_events, "a node that is hidden stays in the list")
    browser.evaluate("document.querySelector('#nodes input').click()")


def choose(browser):
    """The list by keys, and the details that follow it."""
    title = "document.querySelector('#details h2')?.textContent ?? ''"
    browser.evaluate("document.getElementById('list').focus()")
    browser.key("Home")
    first = browser.evaluate(title)
    expect(first != "", "a chosen event has no details")
    browser.key("ArrowDown")
    browser.evaluate(FRAME)
    expect(browser.evaluate(title) != first, "the arrow keys do not move through the list")
    expect(browser.evaluate("document.querySelectorAll('.row[aria-selected=true]').length") == 1, "no row is selected")
    browser.key("Enter")
    browser.key("p")
    browser.evaluate(FRAME)
    if browser.evaluate("!document.getElementById('back').disabled"):
        browser.key("Escape")
        browser.evaluate(FRAME)
        expect("VIOLATION" in browser.evaluate(title), "Escape does not lead back to the violation")


def shoot(browser, page, folder, name):
    if folder:
        browser.screenshot(folder / f"{page.stem}-{name}.png")


def make_pages(sim, folder):
    pages = []
    for run in RUNS:
        page = folder / f"seed-{run[0]}.html"
        done = subprocess.run([sim, "report", *run, "--out", page], stdout=subprocess.DEVNULL)
        if done.returncode not in (0, 1):
            raise Broken(f"report {' '.join(run)} ended with {done.returncode}")
        pages.append(page)
    return pages


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pages", nargs="*", type=pathlib.Path)
    options.add_argument("--sim", type=pathlib.Path, help="makes pages with this vivarium-sim")
    options.add_argument("--screenshots", type=pathlib.Path, help="a folder for pictures of each page")
    options.add_argument("--must", action="store_true", help="no browser is a failure")
    given = options.parse_args()
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print("SKIPPED: no Chromium here (Debian: apt-get install chromium); no page was opened", file=sys.stderr)
        return 2 if given.must else 0
    with tempfile.TemporaryDirectory() as scratch:
        browser = None
        try:
            pages = given.pages + (make_pages(given.sim, pathlib.Path(scratch)) if given.sim else [])
            if given.screenshots:
                given.screenshots.mkdir(parents=True, exist_ok=True)
            browser = Browser(program)
            for page in pages:
                took, drawn = use(browser, page, given.screenshots)
                size = page.stat().st_size / 1e6
                print(f"{page.name}: {size:.1f} MB, ready in {took:.2f} s, whole run drawn in {drawn:.0f} ms")
        except Broken as broken:
            print(f"FAILED: {broken}", file=sys.stderr)
            return 1
        finally:
            if browser:
                browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
