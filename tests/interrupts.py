"""Ctrl-C in tests, whatever shell runs them."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """Undo that a shell which runs the suite in the background ignores Ctrl-C: processes under test inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
