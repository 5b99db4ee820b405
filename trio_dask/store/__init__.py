"""Values in memory of their own: written once, read by all processes of a host, outliving all of them but one.

A process that makes large values has a *pool* of memory files; a value in one of them is a
`Segment`, whose descriptor goes from process to process. Who reads one maps it privately.
"""

from trio_dask.store.arrivals import Arrivals
from trio_dask.store.books import Shelf
from trio_dask.store.filing import Common, SharedFile, write_file
from trio_dask.store.limits import (
    filed_max,
    files_max,
    given_max,
    leaving_max,
    many_descriptors,
    rooms_max,
    sealed_max,
)
from trio_dask.store.loans import Forks, Loan
from trio_dask.store.mapping import map_privately, new_memory
from trio_dask.store.pool import Pool, Readers
from trio_dask.store.segments import DESCRIPTORS_MAX, Segment, rights
from trio_dask.store.trimming import trim

__all__ = [
    "DESCRIPTORS_MAX",
    "Arrivals",
    "Common",
    "Forks",
    "Loan",
    "Pool",
    "Readers",
    "Segment",
    "SharedFile",
    "Shelf",
    "filed_max",
    "files_max",
    "given_max",
    "leaving_max",
    "many_descriptors",
    "map_privately",
    "new_memory",
    "rights",
    "rooms_max",
    "sealed_max",
    "trim",
    "write_file",
]
