"""``python -m bench.child SYSTEM …``: one system's cases, in a process of their own.

What one system has imported and left behind is then no burden to the next, and the client's
memory and processor time are those of one client. Each step is a line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from bench.cases import CASES
from bench.machine import speeds
from bench.scale import scale_for
from bench.systems import SYSTEMS
from bench.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable


def take(turn: Turn, names: Iterable[str]) -> None:
    """Measure these cases, and say what came out."""
    _tell({"speeds": speeds()})
    try:
        for name in names:
            _tell({"begun": name})
            try:
                figures = CASES[name].measure(turn)
            except Exception as error:  # noqa: BLE001 - that it fails is what the case has found
                last = f"{type(error).__name__}: {error}".splitlines()[0]
                _tell({"case": name, "error": last, "traceback": traceback.format_exc()})
                turn.close()
            else:
                _tell({"case": name, "figures": figures})
    finally:
        turn.close()


def _tell(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Take the turn that the command line tells of."""
    # Whoever ends this process is to leave no servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m bench.child")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    system = SYSTEMS[asked.system]
    take(Turn(system, scale_for(quick=asked.quick, slow=system.slow)), asked.cases)


if __name__ == "__main__":
    main()
