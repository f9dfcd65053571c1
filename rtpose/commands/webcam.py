"""`rtpose webcam`: skeletons on a camera or stream, now."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtpose.commands.options import (
    LIVE_DETECT_EVERY,
    ConfidenceOption,
    DetectEveryOption,
    DetectorOption,
    DetectSizeOption,
    DeviceOption,
    EngineOption,
    FlipOption,
    JointOption,
    ModelOption,
    OverwriteOption,
    SaveOption,
    Settings,
    SkeletonOption,
    SmoothOption,
)
from rtpose.commands.terminal import INTERRUPTED, console, ctrl_c, ctrl_c_afterwards
from rtpose.errors import RtposeError

if TYPE_CHECKING:
    from rtpose.media.browser import Listener
    from rtpose.media.cameras import Camera
    from rtpose.media.view import View
    from rtpose.skeleton import Skeleton


class ViewChoice(str, Enum):
    """Where the live picture is shown."""

    AUTO = "auto"
    WINDOW = "window"
    BROWSER = "browser"
    NONE = "none"


def webcam(
    camera: Annotated[
        str,
        typer.Option(
            help="Number of a camera, /dev path, video file, or address: rtsp://, http:// (MJPEG, "
            "HLS)."
        ),
    ] = "0",
    size: Annotated[
        str | None, typer.Option(help="Picture size to ask the camera for: 1280x720.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=1, help="Frames a second to ask the camera for.")
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Show as a mirror does.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Record what is shown: .mp4, .mov or .mkv.")
    ] = None,
    save: SaveOption = None,
    overwrite: OverwriteOption = False,
    view: Annotated[
        ViewChoice, typer.Option(help="auto is a window where there is a display, else browser.")
    ] = ViewChoice.AUTO,
    host: Annotated[
        str, typer.Option(help="Address of the browser view; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the browser view.")] = 8765,
    max_wait: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for a lost camera; else for ever."),
    ] = None,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    detect_size: DetectSizeOption = None,
    detect_every: DetectEveryOption = LIVE_DETECT_EVERY,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    confidence: ConfidenceOption = None,
    min_joint: JointOption = 0.3,
    skeleton: SkeletonOption = None,
    flip_test: FlipOption = False,
    smooth: SmoothOption = True,
) -> None:
    """Show skeletons on a camera or stream, live.

    Keys in the window: q quits, space pauses, m mirrors, r records, s saves a picture, h helps.
    """
    # imported here, so that --help and a mistyped option do not wait for torch
    from rtpose.media.cameras import Camera
    from rtpose.media.feeds import open_feed
    from rtpose.media.hud import status_line
    from rtpose.media.recording import Recorder
    from rtpose.media.saver import check_saver, open_saver
    from rtpose.media.urls import as_path, is_url, source_name

    settings = Settings(
        model,
        detector,
        detect_size,
        device,
        engine,
        confidence,
        min_joint,
        skeleton,
        flip_test,
        detect_every,
        smooth,
    )
    camera = as_path(camera)
    wish = _parse_size(size)
    name = f"camera {camera}" if camera.isdecimal() else source_name(camera)
    with ExitStack() as stack:
        # what is quick to find fault with comes first; networks are slow to load
        with ctrl_c_afterwards():
            source = stack.enter_context(
                Camera(partial(open_feed, camera, wish, fps), name, max_wait_s=max_wait)
            )
        console.print(_describe(source, wish, fps), markup=False)
        shown = None if is_url(camera) else Path(camera)
        recorder = Recorder(record, source.rate, overwrite=overwrite, source=shown)
        if save:
            check_saver(save, overwrite)
        chosen = _choose_view(view)
        listener = None
        if chosen is ViewChoice.BROWSER:
            from rtpose.media.browser import listen

            listener = stack.enter_context(closing(listen(host, port)))

        from rtpose.commands.setup import set_up
        from rtpose.live import Session
        from rtpose.stream import newest_frame

        setup = set_up(settings)
        setup.warm_up(source.size)
        watched = _open_view(chosen, listener, setup.estimator.skeleton)
        stack.callback(watched.close)
        stop = stack.enter_context(ctrl_c())
        # after ctrl_c, so that they are finished before Ctrl-C means again what it meant
        saver = None
        if save:
            saver = stack.enter_context(open_saver(save, setup.estimator.skeleton, overwrite))
        stack.callback(recorder.stop)
        if record:
            recorder.start()
        status = stack.enter_context(console.status("waiting for the first frame"))
        session = Session(
            source,
            watched,
            setup.draw,
            setup.engine,
            recorder,
            saver=saver,
            mirror=mirror,
            tell=lambda hud: status.update(status_line(hud)),
        )
        with closing(newest_frame(source.frames(stop), setup.new_follower(), stop=stop)) as results:
            session.run(results)
        interrupted = stop.is_set() and not session.quit
    console.print(f"{name}: {session.shown} frames shown, {setup.engine}", markup=False)
    if session.fault:
        raise RtposeError(session.fault)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None or "0" in found.groups():
        raise RtposeError(f"size {text!r}: write width x height, such as 1280x720")
    return int(found[1]), int(found[2])


def _describe(camera: Camera, size: tuple[int, int] | None, fps: float | None) -> str:
    """Say what the camera gives, and what was asked for where that is something else."""
    width, height = camera.size
    given = [f"{width}x{height}"]
    asked = []
    if camera.rate:
        given.append(f"{camera.rate:g} fps")
    if size is not None and size != camera.size:
        asked.append(f"{size[0]}x{size[1]}")
    if fps is not None and (camera.rate is None or abs(camera.rate - fps) > 0.5):
        asked.append(f"{fps:g} fps")
    wish = f" ({', '.join(asked)} was asked for)" if asked else ""
    return f"{camera.name}: {', '.join(given)}{wish}"


def _choose_view(choice: ViewChoice) -> ViewChoice:
    """Decide what auto is here; say why a window that was asked for cannot be had."""
    if choice not in (ViewChoice.AUTO, ViewChoice.WINDOW):
        return choice
    from rtpose.media.window import why_no_window

    why = why_no_window()
    if why is None:
        return ViewChoice.WINDOW
    if choice is ViewChoice.WINDOW:
        raise RtposeError(f"no window: {why}; use --view browser")
    console.print(f"no window: {why}", markup=False)
    return ViewChoice.BROWSER


def _open_view(choice: ViewChoice, listener: Listener | None, skeleton: Skeleton) -> View:
    if choice is ViewChoice.WINDOW:
        from rtpose.media.window import WindowView

        return WindowView()
    if listener is not None:
        from rtpose.media.browser import BrowserView

        view = BrowserView(listener, skeleton=skeleton)
        console.print(f"watch at {view.address}", markup=False)
        return view
    from rtpose.media.view import NoView

    return NoView()
