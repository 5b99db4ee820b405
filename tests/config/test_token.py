"""The token and the files that carry it."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from trio_dask.config import (
    Config,
    SchedulerFile,
    ensure_token,
    find_token,
    read_scheduler_file,
    read_tokens,
    replace_token,
    token_path,
    write_scheduler_file,
)
from trio_dask.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_token_says_what_to_do() -> None:
    """The message names the command that shows it, and the variable and file that take it."""
    with pytest.raises(AuthenticationError, match=r"trio-dask token show.*TRIO_DASK_TOKEN.*0600"):
        find_token()


def test_ensuring_makes_one_and_keeps_it() -> None:
    """The first call makes a token of 256 bits in a file of ours alone; later ones find it."""
    token = ensure_token()
    assert len(token) == 43
    assert (mode(token_path()), mode(token_path().parent)) == (0o600, 0o700)
    assert ensure_token() == find_token() == token
    assert ensure_token() != replace_token() == find_token()


@pytest.mark.parametrize("make", [ensure_token, replace_token])
def test_a_token_that_cannot_be_written(make: Callable[..., str], tmp_path: Path) -> None:
    """The message names the file, and what to do without one."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "trio-dask" / "token"
    with pytest.raises(AuthenticationError, match=rf"token file {path}: .*TRIO_DASK_TOKEN"):
        make(path=path)


def test_the_setting_wins() -> None:
    """A token from the environment is used, and no file made."""
    config = Config(token="from the environment")
    assert ensure_token(config) == find_token(config) == "from the environment"
    assert not token_path().exists()


@pytest.mark.parametrize("bad", [0o640, 0o604, 0o660])
def test_a_file_others_can_read_is_refused(bad: int) -> None:
    """Also when it was ours: whoever read it may be a stranger by now."""
    ensure_token()
    token_path().chmod(bad)
    for use in (find_token, ensure_token):
        with pytest.raises(AuthenticationError, match=r"others can read it.*chmod 600"):
            use()


def test_an_empty_file_is_no_token() -> None:
    """Whitespace is nothing."""
    ensure_token()
    token_path().write_text(" \n")
    with pytest.raises(AuthenticationError, match="no token"):
        find_token()


def test_scheduler_file_round_trip(tmp_path: Path) -> None:
    """What a scheduler writes a worker reads; only its owner can, and replacing leaves no drafts."""
    path = tmp_path / "scheduler.json"
    content = SchedulerFile(id="S-1", address="tcp://h:1", token="hush")
    path.write_text("old")
    write_scheduler_file(path, content)
    assert read_scheduler_file(path) == content
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert "hush" not in repr(content)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1, "address": "", "token": ""}', "\x00"])
def test_other_files_are_no_scheduler_files(tmp_path: Path, text: str) -> None:
    """The message names the file."""
    path = tmp_path / "scheduler.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"scheduler\.json is not a scheduler file"):
        read_scheduler_file(path)


def test_an_open_scheduler_file_is_refused(tmp_path: Path) -> None:
    """It carries the token."""
    path = tmp_path / "scheduler.json"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(AuthenticationError, match="others can read it"):
        read_scheduler_file(path)


def test_a_draft_is_removed_when_it_cannot_take_its_place(tmp_path: Path) -> None:
    """A failed write leaves the directory as it was."""
    path = tmp_path / "scheduler.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        write_scheduler_file(path, SchedulerFile(id="", address="", token=""))
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named_as_given(tmp_path: Path) -> None:
    """And not the draft that it would have been made of."""
    path = tmp_path / "missing" / "scheduler.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_scheduler_file(path, SchedulerFile(id="", address="", token=""))
    assert caught.value.filename == str(path)


def test_a_file_with_the_token_before() -> None:
    """The first is the token; of the others the time until which they are accepted is said."""
    first = ensure_token()
    second = replace_token(accept_former_s=60)
    assert find_token() == second
    [(old, until)] = read_tokens(token_path()).former
    assert old == first
    assert 0 < until - datetime.now(UTC).timestamp() <= 61
    for _ in range(9):
        replace_token(accept_former_s=60)
    assert len(read_tokens(token_path()).former) == 4
    assert replace_token(token=second, accept_former_s=60) == second
    assert second not in dict(read_tokens(token_path()).former)
    token_path().write_text(f"{first}\n{second}\n")
    with pytest.raises(AuthenticationError, match="a second token without the time"):
        find_token()
