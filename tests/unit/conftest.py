from __future__ import annotations

from interrupts import heed_interrupts

heed_interrupts()
