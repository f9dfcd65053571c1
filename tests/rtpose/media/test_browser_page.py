"""The page, in headless Chromium."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest

from rtpose.media.browser import BrowserView
from rtpose.media.view import Action, Hud
from rtpose.skeleton import LSP14

from .viewing import HUD, PATIENCE_S, live, opened, port, result


@contextmanager
def chromium(folder: Path, phone: tuple[int, int] | None = None) -> Iterator[object]:
    """Headless Chromium as a selenium driver, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if not browser_path or not driver_path:
        pytest.skip("no chromium with chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser_path
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-dev-shm-usage", f"user-data-dir={folder / 'profile'}", "window-size=1280,860",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    if phone:
        width, height = phone
        options.add_experimental_option(
            "mobileEmulation",
            {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2, "touch": True}},
        )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver_path)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def camera(view: BrowserView, hud: Hud = HUD, people: int = 2) -> Iterator[None]:
    """Frames whose grey level tells their number, twenty a second."""
    end = threading.Event()

    def show() -> None:
        index = 0
        while not end.wait(0.05):
            view.show(result(index, people=people), hud)
            index += 1

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def relay(to: int, cut: threading.Event) -> Iterator[int]:
    """A port that leads to another; what comes while it is cut is lost, and nothing is closed."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not cut.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", to)) as far:
                back = threading.Thread(target=carry, args=(far, self.request))
                back.start()
                carry(self.request, far)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def until(true: Callable[[], object]) -> object:
    """The first true answer."""
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


PIXEL = (
    "return document.getElementById('picture').getContext('2d').getImageData(5, 5, 1, 1).data[0]"
)
FRAME = "return Number(document.getElementById('picture').dataset.frame ?? -1)"

NAMES = (
    "return [...document.querySelectorAll('details[open] td:first-child')].map(c => c.textContent)"
)


@pytest.mark.parametrize("phone", [None, (360, 740)], ids=["desktop", "phone"])
def test_in_chromium_the_picture_moves_and_the_buttons_work(tmp_path, phone):
    with opened(host="0.0.0.0") as view, camera(view), chromium(tmp_path, phone) as driver:
        here = f"http://127.0.0.1:{port(view)}/?{urlsplit(view.address).query}"
        driver.get(here)
        first = until(lambda: driver.execute_script(FRAME) >= 0) and driver.execute_script(FRAME)
        until(lambda: driver.execute_script(FRAME) > first + 5)
        levels = set()
        until(lambda: levels.add(driver.execute_script(PIXEL)) or len(levels) > 3)
        shown = {40 + 20 * index % 200 for index in range(10)}
        assert all(min(abs(level - s) for s in shown) <= 3 for level in levels)

        def text(name: str) -> str:
            return driver.find_element("id", name).text

        assert text("fps") == "30.0"
        assert text("latency") == "41"
        assert not driver.find_element("id", "notice").is_displayed()

        people = driver.find_elements("css selector", "#people summary")
        assert [p.text.split("\n")[0].split("  ")[0][:8] for p in people] == [
            "Person 3",
            "Person 4",
        ]
        people[0].click()
        rows = until(lambda: driver.execute_script(NAMES))
        assert rows == [joint.replace("_", " ") for joint in LSP14.joints]

        for name in ("pause", "record", "mirror", "snapshot"):
            button = driver.find_element("id", name)
            assert button.size["height"] >= 44  # a finger's width
            button.click()
            assert until(view.actions) == [Action(name)]
        driver.execute_script("document.activeElement.blur()")
        driver.find_element("css selector", "body").send_keys("m")
        assert until(view.actions) == [Action.MIRROR]

        wide, window = driver.execute_script(
            "return [document.documentElement.scrollWidth, innerWidth]"
        )
        assert wide <= window
        errors = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
        assert errors == []


def test_in_chromium_the_page_says_what_is_up_and_comes_back(tmp_path):
    paused = Hud(0.0, 41.0, 1, "", True, True, "camera lost, trying again")
    with chromium(tmp_path) as driver:

        def is_up(name: str) -> bool:
            return driver.find_element("id", name).is_displayed()

        with opened() as view:
            driver.get(view.address)
            view.show(result(), paused)
            until(lambda: is_up("recording") and is_up("paused"))
            assert driver.find_element("id", "record").text == "Stop"
            assert driver.find_element("id", "notice").text == "camera lost, trying again"
            again = port(view)
        until(lambda: driver.find_element("id", "notice").text == "rtpose has ended")
        assert not driver.find_element("id", "pause").is_enabled()
        with opened(port=again) as view:
            view.show(result(), HUD)
            until(lambda: not is_up("notice"))
            assert driver.find_element("id", "pause").is_enabled()


def test_in_chromium_a_page_whose_token_is_of_an_earlier_start_says_so(tmp_path):
    with chromium(tmp_path) as driver:

        def notice() -> str:
            return driver.find_element("id", "notice").text

        with opened(token="first") as view:
            driver.get(view.address)
            until(lambda: notice() == "waiting for the first picture")
            again = port(view)
        until(lambda: notice() == "no connection to rtpose; trying again")
        with opened(port=again, token="second") as view:
            until(lambda: "no longer valid: open the one" in notice())
            assert not driver.find_element("id", "pause").is_enabled()
        # it goes on trying: something else may have answered on that port
        with opened(port=again, token="first") as view:
            until(lambda: notice() == "waiting for the first picture")


def test_in_chromium_a_network_that_goes_silent_is_noticed_and_left(tmp_path):
    """No socket is closed, as when a phone changes networks or the host loses power."""
    cut = threading.Event()
    with (
        opened() as view,
        camera(view),
        relay(port(view), cut) as number,
        chromium(tmp_path) as driver,
    ):

        def notice() -> str:
            return driver.find_element("id", "notice").text

        driver.get(f"http://127.0.0.1:{number}/")
        until(lambda: driver.execute_script(FRAME) > 5 and notice() == "")
        cut.set()
        until(lambda: notice() == "no connection to rtpose; trying again")
        assert not driver.find_element("id", "pause").is_enabled()
        last = driver.execute_script(FRAME)
        cut.clear()
        # the attempt that was lost in between is given up too
        until(lambda: driver.execute_script(FRAME) > last + 5)
        assert notice() == ""
        driver.find_element("id", "pause").click()
        assert until(view.actions) == [Action.PAUSE]


def test_in_chromium_another_site_cannot_look(tmp_path):
    """A page of another origin that opens the WebSocket gets nothing."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>elsewhere")
    files = partial(SimpleHTTPRequestHandler, directory=str(site))
    script = (
        "const [address, done] = arguments, socket = new WebSocket(address);"
        "socket.onopen = () => done('open'); socket.onerror = () => done('refused');"
    )
    with (
        opened() as view,
        ThreadingHTTPServer(("127.0.0.1", 0), files) as other,
        chromium(tmp_path) as driver,
    ):
        threading.Thread(target=other.serve_forever, daemon=True).start()
        target = live(view.address).replace("http", "ws")
        try:
            driver.get(f"http://127.0.0.1:{other.server_port}/")
            assert driver.execute_async_script(script, target) == "refused"
            driver.get(view.address)
            assert driver.execute_async_script(script, target) == "open"
        finally:
            other.shutdown()
