"""Addresses of streams: what is one, what to call it, and opening it with a time-out."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import url2pathname

import av
from av.container import InputContainer

from rtpose.errors import RtposeError

OPEN_S, READ_S = 10.0, 5.0
"""Longest waits in seconds for a stream to begin, and for the next piece of one that has begun."""

DARK_S = 15.0
"""How long a stream may send something and yet no picture: one may begin with a key frame only,
and with x264's defaults the next is up to 250 frames away."""

BROKEN_IN_A_ROW = 100
"""Packets that give no picture before a stream is dark, not merely disturbed."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_SECRET = re.compile(rf"^({_SCHEME.pattern}[^:]*):.*@", re.IGNORECASE | re.DOTALL)
"""Whatever may be meant as a password, also where an address cannot be understood."""

_ENCODING = (
    "in its name and password write / as %2F, ? as %3F, # as %23, @ as %40, [ as %5B and ] as %5D"
)


def is_url(source: str) -> bool:
    """Whether this is an address (``rtsp://...``) and not a file."""
    return _SCHEME.match(source) is not None


def as_path(source: str) -> str:
    """The path that a ``file://`` address means, as file managers hand it over; else `source`."""
    if not source.lower().startswith("file://"):
        return source
    return url2pathname(urlsplit(source).path)


def shown_url(url: str) -> str:
    """The address without its password, as it may stand in messages and logs."""
    return _SECRET.sub(r"\1:***@", url)


def source_name(source: str) -> str:
    """What files that are handed on call a source: a file's name, an address without secrets.

    An address loses name, password and query, and its path from where it begins to say
    ``password=`` or the like. What is no text in a file's name becomes a question mark.

    Raises
    ------
    RtposeError
        If it is not a proper address.
    """
    if not is_url(source):
        return os.fsencode(source).decode(errors="replace")
    parts = _parts(shown_url(source))  # else a torn password's pieces would pass for something else
    place = parts.netloc.rpartition("@")[2]
    path = re.sub(r"[^/]*=.*", "", parts.path)
    return urlunsplit((parts.scheme, place, path, "", ""))


def stem_of_url(url: str) -> str:
    """A name for files made from a stream: that of its path or, failing that, of its host.

    Such a file is handed on too: what `source_name` leaves out is not in it.

    Raises
    ------
    RtposeError
        If it is not a proper address.
    """
    parts = _parts(source_name(url))
    return PurePosixPath(parts.path).stem or parts.hostname or "stream"


def open_url(url: str, options: Mapping[str, str] | None = None) -> InputContainer:
    """Connect to a stream.

    Parameters
    ----------
    url : str
        RTSP, HTTP (MJPEG, HLS, a file) or whatever else FFmpeg speaks.
    options : mapping, optional
        FFmpeg's, for the container.

    Raises
    ------
    RtposeError
        If it is not a proper address, or if the host is unknown, refuses, does not answer in
        `OPEN_S` seconds, denies access, or answers with something else than a video. The text
        names which.
    """
    name = shown_url(url)
    parts = _parts(url)
    if parts.hostname:
        try:
            socket.getaddrinfo(parts.hostname, None)
        except (OSError, UnicodeError) as error:  # the latter of names such as cam..local
            # an @ further on: what was taken for the host is a piece of a name or password
            torn = "@" in parts.path + parts.query + parts.fragment
            raise RtposeError(
                f"{name}: no such host is known here; check the address: {_ENCODING}"
                if torn
                else f"{name}: no host named {parts.hostname} is known here; "
                "check the address and the network"
            ) from error
    began = time.monotonic()
    try:
        # TCP where there is a choice: a packet lost on UDP is a smeared picture
        rtsp = {"rtsp_flags": "prefer_tcp"} if url.lower().startswith("rtsp") else {}
        return av.open(url, "r", options={**rtsp, **(options or {})}, timeout=(OPEN_S, READ_S))
    except av.FFmpegError as error:
        late = time.monotonic() - began >= 0.9 * min(OPEN_S, READ_S)
        raise RtposeError(f"{name}: {_reason(error, late)}") from error


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # the first piece of a password with / ? or # in it is taken for a port
    except ValueError:
        help_ = _ENCODING if "@" in url else "check its host and port"
        # its cause is not kept: that text may have the password in it
        raise RtposeError(f"{shown_url(url)}: not a proper address; {help_}") from None
    return parts


def _reason(error: av.FFmpegError, late: bool) -> str:
    """What went wrong, in a person's words; `late` if nothing came for as long as one waits."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the camera or server on, and the port right?"
    if late or isinstance(error, av.error.ExitError | TimeoutError):  # ExitError: PyAV's time-out
        return "timed out; check the address, the network and the firewall"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "unknown kind of address; use rtsp://, http:// or https://"
    if isinstance(error, av.error.HTTPClientError):
        return f"{error.strerror}; check the path, the name and the password in the address"
    if isinstance(error, av.error.HTTPServerError):
        return f"{error.strerror}; the server itself is in trouble"
    if isinstance(error, ConnectionError):
        return f"{error.strerror}; is the camera or server still on?"
    return f"answers, but not with a video stream ({error.strerror}); check the path"
