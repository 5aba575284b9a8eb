"""Logs on stderr, so that stdout carries results alone."""

from __future__ import annotations

import logging
import sys


def configure_logging(level: str) -> None:
    """Send the `fusionapp` logger to stderr, and keep the libraries' own chatter out of it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("fusionapp")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
