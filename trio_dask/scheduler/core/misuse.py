"""What a peer is let go for."""

from __future__ import annotations


class Misuse(Exception):
    """The peer said what makes no sense; it is let go with this as the reason."""
