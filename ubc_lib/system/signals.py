"""SIGTERM ends a training early without losing what is done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from ubc_lib.system.errors import ProcessEndsError

_asked = threading.Event()


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Let SIGTERM ask the training within to stop after its epoch, instead of ending at once.

    Schedulers send it some time before they kill. Only a main thread can listen to signals;
    elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = signal.signal(signal.SIGTERM, lambda *_: _asked.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


@contextmanager
def sigterm_forwarded() -> Iterator[None]:
    """Pass SIGTERM on to the processes begun from this one, and wait for what they make of it."""

    def forward(number: int, _frame) -> None:
        for child in psutil.Process().children(recursive=True):
            child.send_signal(number)

    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_asked() -> bool:
    """Whether SIGTERM has come since `stopping_on_sigterm` began."""
    return _asked.is_set()


def stop(epoch: int) -> None:
    """End the training that has just saved its checkpoint after `epoch`."""
    raise ProcessEndsError(
        f"Stopped on request (SIGTERM) after epoch {epoch}. The checkpoint is kept; run the same "
        "command again to go on from there."
    )
