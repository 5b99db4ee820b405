"""What a scheduler has imported when it says where it is: that is most of the time until then.

Counted, not timed: what is needed later, or by few, is imported then, and does not come back here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from trio_dask.config import new_token

if TYPE_CHECKING:
    from pathlib import Path

LOOK: Final = """
import gc, json, logging, os, sys

class Look(logging.Handler):
    def emit(self, record):
        if "Scheduler at:" in record.getMessage():
            print(json.dumps([sorted(sys.modules), passes() - before]), flush=True)
            os._exit(0)

def passes():
    return sum(each["collections"] for each in gc.get_stats())

logging.getLogger("trio_dask").addHandler(Look())
from trio_dask.cli import main
before = passes()
main(["scheduler", "--host", "127.0.0.1", "--port", "0", *sys.argv[1:]])
"""
#: What is not ours and not of the standard library, as far as there has to be something.
OTHERS: Final = {
    "attr", "attrs", "cffi", "cyclopts", "docstring_parser", "exceptiongroup", "idna", "msgpack",
    "outcome", "rich_rst", "sniffio", "sortedcontainers", "trio", "typing_extensions",
}  # fmt: skip
#: Rooms of ours that a scheduler is made of.
ROOMS: Final = {
    "cli", "comm", "config", "dashboard", "errors", "eventlog", "messages", "scheduler", "store",
}  # fmt: skip
#: Of the standard library, what would be noticed: each takes some milliseconds.
NOT_NEEDED: Final = {
    "asyncio", "difflib", "email", "http.client", "http.server", "multiprocessing", "pickle",
    "sqlite3", "tomllib", "unittest", "urllib.request", "xml", "zipfile",
}  # fmt: skip
#: So many are ours: with every ten it is noticed.
OURS_MAX: Final = 200


@pytest.mark.processes
@pytest.mark.network
def test_what_is_imported_before_it_is_there(
    own_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than it takes; and no time goes to looking for garbage."""
    monkeypatch.setenv("TRIO_DASK_TOKEN", new_token())
    words = [sys.executable, "-P", "-c", LOOK]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    modules, passes = json.loads(done.stdout)
    ours = [name for name in modules if name.partition(".")[0] == "trio_dask"]
    rooms = {name.split(".")[1] for name in ours if "." in name}
    assert rooms == ROOMS
    assert len(ours) <= OURS_MAX
    assert not NOT_NEEDED & set(modules)
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"trio_dask"}
    assert {name for name in tops if not name.startswith(("_", "cython"))} <= OTHERS
    assert passes == 0
