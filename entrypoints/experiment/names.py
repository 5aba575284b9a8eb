"""What runs, encoders and the cells of a sweep may be called: each is a part of a path."""

from __future__ import annotations

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
