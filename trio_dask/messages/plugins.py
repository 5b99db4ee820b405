"""What users have set up wherever their tasks run: plugins, which only runners look into."""

from __future__ import annotations

from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Strs

#: One plugin is no larger than this, all of them together than that: the scheduler keeps them.
PLUGIN_BYTES_MAX: Final = 16 << 20
PLUGINS_BYTES_MAX: Final = 128 << 20
PLUGINS_MAX: Final = 1000


@message(140)
class Plugins(Message):
    """Set these up before tasks that come later begin (scheduler → worker → runner).

    One that is there under the name is torn down first; where there are no bytes, that is
    all. Answered by `PluginsDone`.
    """

    serial: int
    names: Strs
    blobs: Blobs
    PARALLEL: ClassVar = ("names", "blobs")


@message(141)
class PluginsDone(Message):
    """What became of `Plugins` (runner → worker → scheduler).

    For each the encoded `Failure`, or nothing: it is there, or not any more.
    """

    serial: int
    failures: Blobs
