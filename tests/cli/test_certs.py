"""Certificates from the command line, and what is said of settings."""

from __future__ import annotations

import stat
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from trio_dask.cli import main
from trio_dask.comm import Security, Tls
from trio_dask.config import (
    ensure_token,
    find_token,
    known_settings,
    new_token,
    read_tokens,
    token_path,
)
from trio_dask.config.dasks import DASKS

if TYPE_CHECKING:
    from pathlib import Path


def test_a_team_gets_its_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An authority, once; certificates of it, which fit; keys that only their owner can read."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    place = tmp_path / "certs"
    assert main(["certs", "new", str(place)]) == 0
    first = capsys.readouterr().out
    assert "Made an authority" in first
    assert f"export TRIO_DASK_COMM__TLS__KEY={place}/trio-dask-key.pem" in first
    assert main(["certs", "new", str(place), "--name", "ada", "--host=::1", "--days", "2"]) == 0
    assert "Made an authority" not in capsys.readouterr().out
    for name in ("ca-key", "ada-key", "trio-dask-key"):
        assert stat.S_IMODE((place / f"{name}.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    ada = Security(
        tls_ca_file=place / "ca.pem", tls_cert=place / "ada.pem", tls_key=place / "ada-key.pem"
    )
    tls = Tls(ada)
    before = tls.accepting().binding
    assert main(["certs", "new", str(place), "--name", "ada"]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["certs", "new", str(place), "--name", "ada", "--replace"]) == 0
    assert tls.accepting().binding != before
    for words in (["--name", "ca"], ["--name", "a/b"], ["--days", "0"], ["--days", "-1"]):
        assert main(["certs", "new", str(place), *words]) == 2
    (place / "ca-key.pem").unlink()
    assert main(["certs", "new", str(place), "--name", "eve"]) == 2
    assert "ca-key.pem is missing" in capsys.readouterr().err


def test_a_token_is_replaced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is one; the old one is accepted for a while, or not at all."""
    assert main(["token", "rotate"]) == 1
    first = ensure_token()
    assert main(["token", "rotate"]) == 0
    second = find_token()
    assert second != first
    assert "is accepted until" in capsys.readouterr().err
    given = new_token()
    monkeypatch.setattr("sys.stdin", StringIO(f"{given}\n"))
    assert main(["token", "rotate", "--stdin", "--keep", "1h"]) == 0
    assert find_token() == given
    assert [each for each, _ in read_tokens(token_path()).former] == [second, first]
    assert main(["token", "forget"]) == 0
    assert find_token() == given
    assert main(["token", "forget"]) == 1
    assert main(["token", "rotate"]) == 0
    assert main(["token", "rotate", "--keep", "0"]) == 0
    assert "not accepted any more" in capsys.readouterr().err
    assert read_tokens(token_path()).former == ()


@pytest.mark.parametrize("keep", ["soon", "-1", "9999d", ""])
def test_how_long_an_old_token_is_accepted_is_a_time(
    capsys: pytest.CaptureFixture[str], keep: str
) -> None:
    """Of at most a year; nothing is replaced otherwise."""
    before = ensure_token()
    assert main(["token", "rotate", "--keep", keep]) == 2
    assert "--keep" in capsys.readouterr().err
    assert find_token() == before


def test_what_is_on_standard_input_may_be_no_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the old one stays."""
    before = ensure_token()
    monkeypatch.setattr("sys.stdin", StringIO("secret\n"))
    assert main(["token", "rotate", "--stdin"]) == 1
    assert "the token on standard input is too short" in capsys.readouterr().err
    assert find_token() == before


def test_settings_are_found_and_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a word, by Dask's name; with value, origin and all ways to set it."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__WORKER_TTL", "5m")
    monkeypatch.setenv("TRIO_DASK_WORKER__PORT", "3000:3026")
    assert main(["config", "find", "ttl"]) == 0
    assert capsys.readouterr().out.startswith("scheduler.worker_ttl = 300\n")
    assert main(["config", "find", "distributed.comm.timeouts.connect"]) == 0
    assert "comm.connect_timeout" in capsys.readouterr().out
    assert main(["config", "explain", "scheduler.worker-ttl"]) == 0
    shown = capsys.readouterr().out
    assert "now:          300\n" in shown
    assert "because of:   TRIO_DASK_SCHEDULER__WORKER_TTL" in shown
    assert "in a file:    [scheduler] worker-ttl" in shown
    assert main(["config", "get", "worker.port"]) == 0
    assert capsys.readouterr().out == '"3000:3026"\n'
    assert main(["config", "explain", "token"]) == 0
    assert main(["config", "find", "colour"]) == 2
    assert main(["config", "get", "distributed.scheduler.pickle"]) == 2
    assert "a scheduler never unpickles anything" in capsys.readouterr().err


def test_dasks_names_lead_somewhere() -> None:
    """To a setting that there is, or to words."""
    names = {each for each in DASKS.values() if " " not in each and "(" not in each}
    assert names <= set(known_settings())


def test_dasks_names_in_a_file(own_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As people will try them: the error says what they are here."""
    (own_settings / "trio-dask").mkdir()
    path = own_settings / "trio-dask" / "config.toml"
    path.write_text("[distributed.comm.timeouts]\nconnect = '3s'\n", encoding="utf-8")
    assert main(["config", "list"]) == 2
    assert "Dask has it, here it is comm.connect_timeout" in capsys.readouterr().err
