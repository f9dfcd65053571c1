import os
import signal
from collections.abc import Iterator

import pytest

from training.interrupt import noted_interrupt


@pytest.fixture(autouse=True)
def in_the_foreground() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_is_noted_and_the_second_stops():
    with pytest.raises(KeyboardInterrupt), noted_interrupt() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_the_background_nobody_means_us():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with noted_interrupt() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert not interrupted()
