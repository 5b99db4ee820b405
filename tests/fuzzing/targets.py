"""Everything that reads what strangers or peers send: bytes in; nothing, or a failed check, out.

A target returns when its input was understood, or refused as it should be. Anything else
that it raises is a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.fuzzing import bystanders, ends, neighbours, plain

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        # Before authentication, and below messages.
        plain.handshake_accepting,
        plain.handshake_connecting,
        plain.frames,
        plain.chunks,
        plain.link,
        plain.header,
        plain.failure,
        # What is read from files, variables and command lines.
        plain.files,
        plain.texts,
        # Peers that hold the token and say whatever they like.
        bystanders.hostile_client,
        bystanders.hostile_worker,
        bystanders.hostile_task,
        ends.hostile_scheduler_of_worker,
        ends.hostile_runner,
        ends.hostile_peer,
        ends.hostile_source,
        neighbours.hostile_neighbour,
        ends.hostile_scheduler_of_client,
        ends.hostile_worker_of_client,
    )
}
