"""What an operator does on two hosts, on two network namespaces: the commands of the how-to page."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.system import two_hosts

PAGE = Path(__file__).parents[2] / "docs/how-to/behind-a-firewall.md"
#: Namespaces in which we are root, and which end with their first process.
OWN = (
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child",
    "--mount-proc",
)  # fmt: skip
#: Whether there can be hosts and firewalls in there.
TRY = """
PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs tmpfs /run && ip netns add head && ip netns add node &&
ip link add eth0 netns head type veth peer name eth0 netns node &&
ip netns exec head nft add table inet try &&
ip netns exec head nft add chain inet try input '{ type filter hook input priority 0; }' &&
ip netns exec head nft add rule inet try input ct state established accept
"""
pytestmark = [pytest.mark.network, pytest.mark.processes, pytest.mark.slow]


@cache
def what_is_missing() -> str:
    """Why there can be no hosts here; empty if there can."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    tried = subprocess.run([*OWN, "sh", "-c", TRY], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no hosts can be made here: {tried.stderr.strip()}"


def follow_the_page(place: Path, cut_s: float) -> str:
    """All of it, and what was done."""
    if what_is_missing():
        pytest.skip(what_is_missing())
    done = subprocess.run(
        [*OWN, sys.executable, two_hosts.__file__, str(PAGE), str(place), str(cut_s)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    logs = "".join(f"{path.name}:\n{path.read_text()}\n" for path in place.glob("*.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    return done.stdout


def test_the_page_is_true(tmp_path: Path) -> None:
    """TLS, token, port range, firewall; and a cable that is out for two seconds."""
    assert "; 0 tasks ran twice" in follow_the_page(tmp_path, 2.0)


@pytest.mark.nightly
def test_a_long_cut(tmp_path: Path) -> None:
    """Out for so long that the scheduler gives its workers up, and has them back."""
    follow_the_page(tmp_path, 45.0)


def test_each_command_of_the_page_has_a_host() -> None:
    """So none is left out."""
    text = PAGE.read_text(encoding="utf-8")
    consoles = [block for language, block in two_hosts.BLOCK.findall(text) if language == "console"]
    assert {step.host for step in two_hosts.steps_of(text)} == {"head", "node", "here"}
    assert all(two_hosts.PROMPT.match(block.splitlines()[0]) for block in consoles)
