"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trio_dask.comm import Address, parse_address, parse_contact
from trio_dask.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tcp://127.0.0.1:8786", "127.0.0.1", 8786),
        ("host.example:1", "host.example", 1),
        ("tcp://[::1]:8786", "::1", 8786),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("tcp://:0", "", 0),
        ("tcp://host", "host", 99),
        (" tcp://host:5/ ", "host", 5),
    ],
)
def test_what_is_understood(text: str, host: str, port: int) -> None:
    """Scheme and port may be left out where there is a default."""
    assert parse_address(text, default_port=99) == Address(host, port)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tcp://host", "no port"),
        ("tcp://host:70000", "above 65535"),
        ("tcp://host:http", "is no address"),
        ("::1:8786", "IPv6 hosts in brackets"),
        ("ws://host:1", "ws:// is not known"),
        ("tcp://a b:1", "is no address"),
        ("tcp://user@host:1", "is no address"),
        ("tcp://a..b:1", "'a..b' is no name of a host"),
        ("tcp://.:1", "'.' is no name of a host"),
        ("tcp://" + "a" * 64 + ":1", "is no name of a host"),
        ("tcp://" + "a." * 127 + "b:1", "is no name of a host"),
        ("tcp://a\0b:1", "is no name of a host"),
    ],
)
def test_what_is_not(text: str, says: str) -> None:
    """The message names the text and says what is wrong with it."""
    with pytest.raises(ConfigError, match=says) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["tcp://:8786", "tcp://host:0"])
def test_nowhere_to_connect_to(text: str) -> None:
    """An address to listen at is not always one to connect to."""
    with pytest.raises(ConfigError, match="cannot be connected to"):
        parse_contact(text)


@given(
    st.one_of(
        st.ip_addresses().map(str), st.from_regex(r"[a-z](\.?[a-z0-9-]){0,20}\.?", fullmatch=True)
    ),
    st.integers(0, 65535),
)
def test_written_and_read_again(host: str, port: int) -> None:
    """An address survives being written down."""
    assert parse_address(str(Address(host, port))) == Address(host, port)
