"""Addresses of streams: what is one, what to call it, and opening it with a time-out."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from rtpose.errors import RtposeError

OPEN_S, READ_S = 10.0, 5.0
"""Longest waits in seconds for a stream to begin, and for the next piece of one that has begun."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_url(source: str) -> bool:
    """Whether this is an address (``rtsp://...``) and not a file."""
    return _SCHEME.match(source) is not None


def shown_url(url: str) -> str:
    """The address without its password, as it may stand in messages and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    name, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{name.partition(':')[0]}:***@{host}").geturl()


def stem_of_url(url: str) -> str:
    """A name for files made from a stream: that of its path or, failing that, of its host."""
    parts = urlsplit(url)
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
        If the host is unknown, refuses, does not answer in `OPEN_S` seconds, denies access, or
        answers with something else than a video. The text names which.
    """
    name = shown_url(url)
    host = urlsplit(url).hostname
    if host:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            raise RtposeError(
                f"{name}: no host named {host} is known here; check the address and the network"
            ) from error
    began = time.monotonic()
    try:
        # TCP where there is a choice: a packet lost on UDP is a smeared picture
        rtsp = {"rtsp_flags": "prefer_tcp"} if url.lower().startswith("rtsp") else {}
        return av.open(url, "r", options={**rtsp, **(options or {})}, timeout=(OPEN_S, READ_S))
    except av.FFmpegError as error:
        late = time.monotonic() - began >= 0.9 * min(OPEN_S, READ_S)
        raise RtposeError(f"{name}: {_reason(error, late)}") from error


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
