"""What the scheduler keeps for clients: how much of it, as both sides have to know."""

from __future__ import annotations

from typing import Final

#: One value in a queue, a variable or a data set is no larger than this: what is larger belongs
#: on a worker, and its future here.
VALUE_BYTES_MAX: Final = 1 << 20
