"""Two hosts, made of network namespaces, on which the commands of a page are run as they stand there.

``unshare … python two_hosts.py PAGE PLACE CUT_S``: in namespaces of this process's own, which end
with it and leave nothing on the machine. What a page shows as output has to come.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^\w+@(\w+):~[$#] (.*)$")
PATIENCE_S = 30.0
HEAD, NODE, HERE = "head", "node", "here"
REHEARSAL, CABLE = "Rehearse it on one machine", "Pull the cable"
TASKS = 60


@dataclass(slots=True)
class Step:
    """A command on a host, and the lines that a page shows below it."""

    host: str
    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def stays(self) -> bool:
        """Whether it is a server."""
        return self.command.startswith(("trio-dask scheduler", "trio-dask worker"))


@dataclass(slots=True)
class Running:
    """A server, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, *lines: str) -> None:
        """Wait until it has said all these."""
        for line in lines:
            wait_until(partial(self._has_said, shown_as(line)), line)

    def _has_said(self, line: re.Pattern[str]) -> bool:
        return line.search(self.log.read_text()) is not None

    def end(self) -> int:
        """Ask it to leave; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def wait_until(seen: Callable[[], bool], what: str) -> None:
    """Look again and again, for as long as there is hope."""
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline, f"this has not come: {what}"
        time.sleep(0.05)


def shown_as(text: str) -> re.Pattern[str]:
    """A line of a page: an ellipsis is anything."""
    return re.compile(re.escape(text).replace("…", ".*"))


def steps_of(text: str) -> list[Step]:
    """The commands of the blocks in some text."""
    steps: list[Step] = []
    for language, block in BLOCK.findall(text):
        for line in block.splitlines() if language == "console" else ():
            found = PROMPT.match(line)
            if found is not None:
                steps.append(Step(found[1], found[2]))
            else:
                steps[-1].shown.append(line)
    return steps


class Hosts:
    """Both of them, with a home directory each."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._servers: dict[str, Running] = {}
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRIO_DASK", "XDG_"))}
        programs = f"{Path(sys.executable).parent}:/usr/sbin:/sbin:{clean.get('PATH', '')}"
        self._environ = clean | {"PATH": programs, "PYTHONUNBUFFERED": "1"}

    def home(self, host: str) -> Path:
        """Its user's."""
        return self._place / host

    def popen(self, host: str, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start something there."""
        words = ["bash", "-c", f"exec {command}"]
        if host != HERE:
            words = ["ip", "netns", "exec", host, *words]
        home = self.home(host)
        home.mkdir(exist_ok=True)
        with log.open("wb") as out:
            return subprocess.Popen(
                words, env=self._environ | {"HOME": str(home)}, cwd=home,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def take(self, step: Step) -> None:
        """Do what a page says, and look for what it says comes of it."""
        print(f"{step.host}: {step.command}", flush=True)  # noqa: T201 - it is a program
        log = self._place / "said"
        if step.stays:
            log = self._place / f"{step.host}.log"
            self._servers[step.host] = running = Running(
                self.popen(step.host, step.command, log), log
            )
            running.wait_for(*step.shown)
            return
        negated = step.command.removeprefix("! ")
        code = self.popen(step.host, negated, log).wait(PATIENCE_S)
        said = log.read_text()
        assert (code == 0) == (negated == step.command), said
        for line in step.shown:
            assert shown_as(line).search(said), f"{line}\nwas expected, and this came:\n{said}"

    def server(self, host: str) -> Running:
        """The one that runs there."""
        return self._servers[host]

    def hand_over(self) -> None:
        """What the page has scp do."""
        for name in ("certs", ".config/trio-dask"):
            (self.home(NODE) / name).mkdir(mode=0o700, parents=True)
        for name in (
            "certs/ca.pem",
            "certs/node.pem",
            "certs/node-key.pem",
            ".config/trio-dask/token",
        ):
            shutil.copy2(self.home(HEAD) / name, self.home(NODE) / name)

    def can_reach(self, host: str, to: str, port: int) -> bool:
        """Whether somebody there gets a connection."""
        probe = f"import socket; socket.create_connection(({to!r}, {port}), 0.5)"
        log = self._place / "probe"
        return self.popen(host, f'{sys.executable} -c "{probe}"', log).wait(PATIENCE_S) == 0


def sections_of(text: str) -> dict[str, str]:
    """A page's parts, by their titles."""
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {title: rest for title, _, rest in (part.partition("\n") for part in parts)}


def pull_the_cable(hosts: Hosts, down: Step, up: Step, program: str, cut_s: float) -> None:
    """The page's program, with a cable that is out for a while in the middle of it."""
    ran = hosts.home(HERE) / "ran"
    noted = program.replace(
        "    return x\n", f"    open({str(ran)!r}, 'a').write(f'{{x}}\\n')\n    return x\n"
    )
    assert noted != program
    (hosts.home(HEAD) / "noted.py").write_text(noted)
    log = hosts.home(HERE) / "noted.log"
    running = hosts.popen(HEAD, "python noted.py", log)

    def begun() -> list[str]:
        return ran.read_text().split() if ran.exists() else []

    wait_until(lambda: len(begun()) >= TASKS // 10, "a few tasks")
    hosts.take(down)
    time.sleep(cut_s)  # an operator's time
    assert len(begun()) < TASKS
    hosts.take(up)
    assert running.wait(PATIENCE_S) == 0, log.read_text()
    assert log.read_text().split() == [str(sum(range(TASKS))), "10000000"]
    assert set(begun()) == set(map(str, range(TASKS)))
    twice = len(begun()) - TASKS
    print(f"the cable was out for {cut_s:g} s; {twice} tasks ran twice", flush=True)  # noqa: T201 - the same


def main(page: Path, place: Path, cut_s: float) -> None:
    """Follow the page."""
    # Names of namespaces are files below /run, and this one is ours.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    text = page.read_text(encoding="utf-8")
    sections = sections_of(text)
    hosts = Hosts(place)
    [program] = [block for language, block in BLOCK.findall(text) if "def slowly" in block]
    for step in steps_of(sections.pop(REHEARSAL)):
        hosts.take(step)
    (hosts.home(HEAD)).mkdir()
    (hosts.home(HEAD) / "sums.py").write_text(program)
    for title, section in sections.items():
        steps = steps_of(section)
        if title == CABLE:
            pull_the_cable(hosts, steps[0], steps[1], program, cut_s)
            continue
        for step in steps:
            hosts.take(step)
        if title == "Certificates and the token":
            hosts.hand_over()
    assert not hosts.can_reach(NODE, "10.9.0.1", 8787), "the firewall lets the dashboard through"
    assert hosts.can_reach(HEAD, "10.9.0.1", 8787), "there is no dashboard"
    assert not hosts.can_reach(HEAD, "10.9.0.2", 8999), "a port below the range"
    if cut_s > 40:
        hosts.server(HEAD).wait_for("is given up: it has not come back in time")
        hosts.server(NODE).wait_for("which had given us up")
    else:
        assert "lost" not in (place / "head.log").read_text()
    assert hosts.server(NODE).end() == 0
    assert hosts.server(HEAD).end() == 0
    assert "Traceback" not in "".join((place / f"{each}.log").read_text() for each in (HEAD, NODE))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
