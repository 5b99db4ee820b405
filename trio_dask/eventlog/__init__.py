"""Event logs: all that a core was told, in order, in a file, and what it said to that.

A log begins with `MAGIC`; frames as on the wire follow, the first with a `Recording`,
each other one with an `Event` and the message that belongs to it. The last payload of a
frame is the CRC-32 of its header. `writing` is for servers, `reading` and `replaying` for
those who want to know what happened.

`loglines` is for people: the last lines that a process has logged.
"""

from trio_dask.eventlog.digests import digest
from trio_dask.eventlog.loglines import LogLines, kept_lines, newest
from trio_dask.eventlog.reading import LogReader, Record
from trio_dask.eventlog.replaying import Outcome, Replayed, Violation, replay
from trio_dask.eventlog.writing import EventLog, open_event_log

__all__ = [
    "EventLog",
    "LogLines",
    "LogReader",
    "Outcome",
    "Record",
    "Replayed",
    "Violation",
    "digest",
    "kept_lines",
    "newest",
    "open_event_log",
    "replay",
]
