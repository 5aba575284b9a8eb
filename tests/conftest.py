"""What holds for every test."""

from __future__ import annotations

import signal

# A shell that runs the suite in the background ignores Ctrl-C for it, and processes under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
