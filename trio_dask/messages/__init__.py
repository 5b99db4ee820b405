"""The words: message types, their codec, and payloads, which are opaque to servers.

Read `session`, `tasks`, `values` and `fleet` first: they are everything that is ever said.
"""

from trio_dask.messages import (
    agreeing,
    apart,
    fleet,
    inquiring,
    kept,
    nested,
    plugins,
    recorded,
    reunion,
    sealing,
    session,
    speech,
    tasks,
    values,
)
from trio_dask.messages.codec import (
    Message,
    decode,
    encode,
    message,
    message_types,
    payload_bytes,
    quicken_all,
)
from trio_dask.messages.columns import Buffer, Handle, Part, Payload, Share, as_plain, part_of
from trio_dask.messages.lasting import Lasting
from trio_dask.messages.members import Memory

__all__ = [
    "Buffer",
    "Handle",
    "Lasting",
    "Memory",
    "Message",
    "Part",
    "Payload",
    "Share",
    "agreeing",
    "apart",
    "as_plain",
    "decode",
    "encode",
    "fleet",
    "inquiring",
    "kept",
    "message",
    "message_types",
    "nested",
    "part_of",
    "payload_bytes",
    "plugins",
    "quicken_all",
    "recorded",
    "reunion",
    "sealing",
    "session",
    "speech",
    "tasks",
    "values",
]
