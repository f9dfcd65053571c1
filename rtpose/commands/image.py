"""`rtpose image`: skeletons drawn into pictures."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtpose.commands.options import (
    ConfidenceOption,
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
)
from rtpose.commands.terminal import INTERRUPTED, console, counted, ctrl_c, frame_progress
from rtpose.errors import RtposeError
from rtpose.targets import check_apart, check_target

if TYPE_CHECKING:
    from rtpose.pose import Image

_WRITTEN = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of pictures that are written in the format they were read in; others become JPEG."""

SUFFIXES = (*_WRITTEN, ".heic", ".heif")
"""Of files in folders that are taken for pictures."""


def image(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Picture files, or folders of them.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the pictures with skeletons, NAME.pose.jpg.")
    ] = Path(),
    save: SaveOption = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Write the joints only.")] = False,
    overwrite: OverwriteOption = False,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    detect_size: DetectSizeOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    confidence: ConfidenceOption = None,
    min_joint: JointOption = 0.3,
    skeleton: SkeletonOption = None,
    flip_test: FlipOption = False,
) -> None:
    """Draw skeletons into pictures."""
    # imported here, so that --help and a mistyped option do not wait for torch
    from rtpose.commands.setup import set_up
    from rtpose.media.saver import check_saver, open_saver
    from rtpose.media.urls import source_name
    from rtpose.pictures import write_picture
    from rtpose.pose import Frame, FrameResult

    if no_images and not save:
        raise RtposeError("--no-images leaves nothing to write; add --save poses.csv")
    paths = find_pictures(inputs)
    targets = [] if no_images else name_targets(paths, out)
    for target in targets:
        check_target(target, overwrite)
    if save:
        check_saver(save, overwrite)
    settings = Settings(
        model, detector, detect_size, device, engine, confidence, min_joint, skeleton, flip_test
    )
    people, done, broken = 0, 0, []
    with ExitStack() as stack:
        setup = set_up(settings)
        progress = stack.enter_context(frame_progress())
        task = progress.add_task("pictures", total=len(paths))
        interrupt = stack.enter_context(ctrl_c())
        saver = None
        if save:  # after ctrl_c, so that it is finished before Ctrl-C means again what it meant
            saver = stack.enter_context(open_saver(save, setup.estimator.skeleton, overwrite))
        pictures = stack.enter_context(closing(_read_ahead(paths)))
        for index, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
            if interrupt.is_set():
                break
            progress.advance(task)
            if picture is None:
                broken.append(path)
                continue
            # numbered, so that who is in which row can be seen in the picture
            poses = tuple(
                replace(pose, id=number)
                for number, pose in enumerate(setup.estimator(picture), start=1)
            )
            result = FrameResult(Frame(picture, index, 0.0, source_name(str(path))), poses)
            if saver:
                saver.write(result)
            if targets:
                setup.draw(result)
                write_picture(targets[index], picture)
            people += len(poses)
            done += 1
    if done:
        made = targets[0] if len(targets) == 1 else save if no_images else out.absolute()
        words = f"{counted(done, 'picture', 'pictures')}, {counted(people, 'person', 'people')}"
        console.print(f"{made}: {words}", markup=False)
    if left := len(paths) - done - len(broken):
        console.print(f"stopped: {left} of {len(paths)} pictures are left", style="yellow")
        raise typer.Exit(INTERRUPTED)
    if broken:
        names = ", ".join(str(path) for path in broken[:3]) + (", ..." if broken[3:] else "")
        raise RtposeError(
            f"{len(broken)} of {len(paths)} cannot be read as pictures or are cut short: {names}"
        )


def _read_ahead(paths: list[Path]) -> Generator[Image | None, None, None]:
    """Each picture, None for a broken one, while the next is being read.

    Decoding those of a phone takes as long as finding the people and writing the result.
    """
    from rtpose.pictures import read_picture

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read_picture, paths[0])
        for following in paths[1:]:
            picture = coming.result()
            coming = reader.submit(read_picture, following)
            yield picture
        yield coming.result()


def find_pictures(places: list[Path]) -> list[Path]:
    """Picture files, in the order they are named; of a folder those directly in it.

    What was drawn here before, NAME.pose.jpg, is left out there.

    Raises
    ------
    RtposeError
        If one is not there, or a folder has none.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise RtposeError(f"{place}: no such file or folder")
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(
            path
            for path in place.iterdir()
            if path.suffix.lower() in SUFFIXES
            and not path.name.startswith(".")
            and not path.stem.endswith(".pose")
            and path.is_file()
        )
        if not inside:
            raise RtposeError(f"{place}: no pictures in it ({', '.join(SUFFIXES)})")
        found += inside
    return found


def name_targets(paths: list[Path], folder: Path) -> list[Path]:
    """Where each picture goes, in its own format where that is one we know, else as JPEG.

    Raises
    ------
    RtposeError
        If two would get the same name, or one that of an input.
    """
    targets = [
        folder / f"{p.stem}.pose{p.suffix if p.suffix.lower() in _WRITTEN else '.jpg'}"
        for p in paths
    ]
    check_apart(targets, paths)
    return targets
