"""Where the weights are that come with rtpose."""

from __future__ import annotations

from pathlib import Path

from rtpose.errors import RtposeError


def weights_folder() -> Path:
    """The folder of shipped weights.

    Raises
    ------
    RtposeError
        If it is not there: the installation is broken.
    """
    here = Path(__file__).resolve().parent
    # the wheel carries the folder inside the package; a checkout has it beside the package
    for folder in (here / "weights", here.parent / "weights"):
        if folder.is_dir():
            return folder
    raise RtposeError("the weights that come with rtpose are missing: install it again")


def shipped_detector() -> Path:
    """The person detector."""
    return weights_folder() / "detector.safetensors"


def shipped_networks() -> tuple[str, ...]:
    """The names of the pose networks, the smallest first, for `find_weights`."""
    files = sorted(weights_folder().glob("pose-*.safetensors"), key=lambda p: p.stat().st_size)
    return tuple(p.stem.removeprefix("pose-") for p in files)


def find_weights(which: str) -> Path:
    """A pose network by the name it ships under (``nano``, ``small``, ``base``) or by its path.

    Raises
    ------
    RtposeError
        If it is neither; the names there are stand in the message.
    """
    path = Path(which)
    if path.suffix == ".safetensors":
        return path
    shipped = weights_folder() / f"pose-{which}.safetensors"
    if shipped.is_file():
        return shipped
    raise RtposeError(
        f"unknown model {which!r}: choose {' or '.join(shipped_networks())}, or give a "
        ".safetensors file"
    )
