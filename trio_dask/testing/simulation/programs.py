"""What simulated tasks do, and what must come out.

The arguments of a simulated task are a small program: how long it runs, how often
it fails first, whether its value stays where it was made. Its value is a digest of
its number and its inputs' values, so that a wrong input anywhere shows at the end.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

#: As a number of failures: it never succeeds.
ALWAYS = -1
#: What a failing program reports.
FAILURE = b"simulated failure of "


@dataclass(frozen=True, slots=True)
class Program:
    """One simulated task."""

    number: int
    seconds: float = 0.001
    failures: int = 0  # it fails so often before it succeeds
    held: bool = False  # its value is large

    def encode(self) -> bytes:
        """As the arguments of a task."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def decode(args: bytes) -> Program:
        """From the arguments of a task."""
        return Program(**json.loads(args))

    def value(self, inputs: list[bytes]) -> bytes:
        """What it returns."""
        return hashlib.blake2b(repr((self.number, inputs)).encode(), digest_size=8).digest()


def scattered_value(number: int) -> bytes:
    """A value that a simulated client puts on a worker."""
    return b"scattered %d" % number
