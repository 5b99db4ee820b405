"""The handshake, without a network: who gets in, who does not, and why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.comm.comm_driver import KEYS, OTHER_KEYS, TOKEN, hands, hello
from trio_dask.comm import Handshake, Hello, keys_from_token
from trio_dask.comm.handshake import HELLO_BYTES_MAX, TLS_ALERT, TokenRefused
from trio_dask.errors import AuthenticationError, CommError, HandshakeRefused


def feed(hand: Handshake, data: bytes) -> bytes:
    """One step, which raises if it is refused."""
    answer = hand.feed(data)
    if hand.refusal is not None:
        raise hand.refusal
    return answer


def run(one: Handshake, other: Handshake) -> list[CommError]:
    """Let two sides talk until both are done or out of words; returns what they raised."""
    raised: list[CommError] = []
    inbox = {0: other.start(), 1: one.start()}
    dead: set[int] = set()
    while any(inbox[side] and side not in dead for side in inbox):
        for side, hand in enumerate((one, other)):
            data, inbox[side] = inbox[side], b""
            while data and hand.wanted and side not in dead:
                part, data = data[: hand.wanted], data[hand.wanted :]
                inbox[1 - side] += hand.feed(part)
                if hand.refusal is not None:
                    raised.append(hand.refusal)
                    dead.add(side)
    return raised


def test_both_prove_themselves() -> None:
    """With one token, both sides are done and know each other."""
    client, scheduler = hands("client", connecting=True), hands("scheduler", connecting=False)
    assert run(client, scheduler) == []
    assert (client.wanted, scheduler.wanted) == (0, 0)
    assert client.peer == hello("scheduler")
    assert scheduler.peer == hello("client")


@given(st.data())
def test_any_split(data: st.DataObject) -> None:
    """The pieces in which the bytes arrive make no difference."""
    client, scheduler = hands("client", connecting=True), hands("scheduler", connecting=False)
    to_client, to_scheduler = scheduler.start(), client.start()
    while client.wanted or scheduler.wanted:
        if to_scheduler and scheduler.wanted:
            size = data.draw(st.integers(1, min(len(to_scheduler), scheduler.wanted)))
            to_client += feed(scheduler, to_scheduler[:size])
            to_scheduler = to_scheduler[size:]
        if to_client and client.wanted:
            size = data.draw(st.integers(1, min(len(to_client), client.wanted)))
            to_scheduler += feed(client, to_client[:size])
            to_client = to_client[size:]
    assert (to_client, to_scheduler) == (b"", b"")


def test_wrong_token() -> None:
    """The accepting side learns nothing of its own proof, and both say what is wrong."""
    client = hands("client", connecting=True, keys=OTHER_KEYS)
    scheduler = hands("scheduler", connecting=False)
    errors = run(client, scheduler)
    assert [str(each) for each in errors] == [
        "a client with a wrong token",
        "the scheduler does not accept this token: it is not its cluster's",
    ]
    assert [type(each) for each in errors] == [AuthenticationError, TokenRefused]


def test_an_accepting_side_without_the_token() -> None:
    """Whoever accepts any proof still has to show its own."""
    client = hands("client", connecting=True)
    fake = hello("scheduler").to_bytes()
    assert feed(client, fake[:12]) == b""
    assert len(feed(client, fake[12:])) == 32
    assert feed(client, b"\x01") == b""
    with pytest.raises(AuthenticationError, match="does not hold the cluster's token"):
        feed(client, bytes(32))


def test_reflection() -> None:
    """Sending back what the other side says proves nothing, as client or as server."""
    client = hands("client", connecting=True)
    mine = client.start()
    feed(client, mine[:12])
    with pytest.raises(AuthenticationError, match="repeats"):
        feed(client, mine[12:])

    victim = hands("worker", connecting=True)
    mirror = Hello("worker", "3.11.4", "1.0", b"m" * 32).to_bytes()
    feed(victim, mirror[:12])
    proof = feed(victim, mirror[12:])
    feed(victim, b"\x01")
    with pytest.raises(AuthenticationError, match="does not hold"):
        feed(victim, proof)


def test_a_proof_from_another_connection() -> None:
    """A proof is good for the nonces it was made with and for no others."""
    client, scheduler = hands("client", connecting=True), hands("scheduler", connecting=False)
    greeting = scheduler.start()
    feed(client, greeting[:12])
    proof = feed(client, greeting[12:])
    again = Handshake(hello("scheduler", nonce=b"n" * 32), KEYS, connecting=False)
    said = client.start()
    feed(again, said[:12])
    feed(again, said[12:])
    with pytest.raises(AuthenticationError, match="wrong token"):
        feed(again, proof)


def test_the_channel_is_part_of_the_proof() -> None:
    """Two sides that see different certificates have somebody between them."""
    client = Handshake(hello("client"), KEYS, connecting=True, binding=b"certificate one")
    scheduler = Handshake(hello("scheduler"), KEYS, connecting=False, binding=b"certificate two")
    assert [type(each) for each in run(client, scheduler)] == [AuthenticationError, TokenRefused]


@settings(max_examples=200)
@given(st.integers(0, 200), st.integers(1, 255))
def test_every_byte_counts(at: int, flip: int) -> None:
    """Changing any byte of either hello on the way keeps both sides apart."""
    client, scheduler = hands("client", connecting=True), hands("scheduler", connecting=False)
    spoken = bytearray(client.start())
    spoken[at % len(spoken)] ^= flip
    client.start = lambda: bytes(spoken)  # type: ignore[method-assign]
    run(client, scheduler)
    assert scheduler.wanted > 0 or scheduler.refusal is not None


@pytest.mark.parametrize(
    ("connecting", "accepting", "says"),
    [
        ("scheduler", "worker", "a scheduler cannot connect to a worker"),
        ("client", "client", "a client cannot connect to a client"),
        ("nobody", "scheduler", "a nobody cannot connect to a scheduler"),
    ],
)
def test_roles_that_do_not_fit(connecting: str, accepting: str, says: str) -> None:
    """Both sides see it, before anything is proved."""
    one = Handshake(hello(connecting, nonce=b"1" * 32), KEYS, connecting=True)
    other = Handshake(hello(accepting, nonce=b"2" * 32), KEYS, connecting=False)
    errors = run(one, other)
    assert [type(each) for each in errors] == [HandshakeRefused] * 2
    assert {str(each) for each in errors} == {says}


def test_an_unexpected_role() -> None:
    """Who looks for a scheduler and finds a worker is told so."""
    client = hands("client", connecting=True, expect="scheduler")
    (error, *_) = run(client, hands("worker", connecting=False))
    assert str(error) == "this is a worker, not a scheduler"


def test_python_versions() -> None:
    """Functions travel as bytecode, so minor versions have to be equal; patch levels need not."""
    old = Handshake(hello("client", python="3.12.1"), KEYS, connecting=True)
    errors = run(old, hands("scheduler", connecting=False))
    assert all("minor version" in str(each) for each in errors)
    assert len(errors) == 2
    close = Handshake(hello("client", python="3.11.9"), KEYS, connecting=True)
    assert run(close, hands("scheduler", connecting=False)) == []


def test_another_protocol() -> None:
    """The number is in a place that will never move, so that the message can be clear."""
    future = Hello("client", "3.11.4", "9.0", protocol=2).to_bytes()
    with pytest.raises(HandshakeRefused, match="speaks protocol 2, this process 1"):
        feed(hands("scheduler", connecting=False), future[:12])


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-OpenSSH_9", bytes(12), b"\x16\x03\x01" + bytes(20)]
)
def test_strangers(said: bytes) -> None:
    """Another protocol's first bytes are shown in the message."""
    with pytest.raises(AuthenticationError, match="no trio_dask process: it said b"):
        feed(hands("scheduler", connecting=False), said[:12])


def test_one_side_with_tls() -> None:
    """Each is told in a way that it understands: an alert, which is as long as a hello's head."""
    scheduler = hands("scheduler", connecting=False)
    answer = scheduler.feed(b"\x16\x03\x01\x02" + bytes(8))
    assert answer == TLS_ALERT
    assert "begins with tcp://" in str(scheduler.refusal)
    client = hands("client", connecting=True)
    assert client.feed(TLS_ALERT[: client.wanted]) == b""
    assert isinstance(client.refusal, HandshakeRefused)
    assert "begins with tls://" in str(client.refusal)


@given(st.binary(max_size=700))
def test_garbage(said: bytes) -> None:
    """No bytes raise anything but the two errors of a handshake, or are kept beyond a bound."""
    scheduler = hands("scheduler", connecting=False)
    data = b"TRIODASK\x01\x00" + said
    try:
        while data and scheduler.wanted:
            assert scheduler.wanted <= HELLO_BYTES_MAX
            part, data = data[: scheduler.wanted], data[scheduler.wanted :]
            feed(scheduler, part)
    except (AuthenticationError, HandshakeRefused):
        pass
    else:
        assert scheduler.wanted > 0


TEXTS = st.sampled_from(["client", "worker", "scheduler", "3.11.4", "1.0"]) | st.text(max_size=9)


@given(
    st.booleans(),
    st.lists(TEXTS, min_size=2, max_size=4),
    st.integers(0, 3),
    st.binary(max_size=80),
)
def test_a_stranger_gets_nowhere_and_leaves_no_mark_in_the_log(
    connecting: bool, texts: list[str], lie: int, rest: bytes
) -> None:
    """Whatever a hello says and whatever follows it: no token, no entry, and one printable line."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    body = b"n" * 32 + b"".join(bytes([len(text)]) + text for text in encoded)
    said = b"TRIODASK" + bytes([1, 0]) + (len(body) + lie).to_bytes(2, "little") + body + rest
    hand = hands("client" if connecting else "scheduler", connecting=connecting)
    while said and hand.wanted:
        part, said = said[: hand.wanted], said[hand.wanted :]
        hand.feed(part)
    assert hand.wanted > 0 or hand.refusal is not None
    assert (str(hand.refusal) + hand.torn).isprintable()


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("short", "too short"),
        ("0123456789abcdef0123456789abcde", "too short"),
        ("a" * 64, "only 1 different characters"),
        ("0123456789abcdef 0123456789abcdef", "' '"),
        ("“0123456789abcdef0123456789abcdef”", r"u201c"),
    ],
)
def test_weak_tokens(token: str, why: str) -> None:
    """A token that could be guessed, or is none, is refused, with its origin and the reason."""
    with pytest.raises(AuthenticationError, match=f"^TRIO_DASK_TOKEN .*{why}"):
        keys_from_token(token, "TRIO_DASK_TOKEN")


@pytest.mark.parametrize("token", ["0123456789abcdef" * 2, "AbCdEfGhIjKlMnOpQrStU_"])
def test_enough_of_a_token(token: str) -> None:
    """128 bits are enough, written either way."""
    keys_from_token(token)


def test_keys_do_not_leak() -> None:
    """Keys differ by use, follow from the token, and are not shown."""
    assert keys_from_token(f" {TOKEN}\n") == KEYS
    assert len({KEYS.connect, KEYS.accept, KEYS.dashboard}) == 3
    assert KEYS.connect.hex() not in repr(KEYS)
    assert repr(KEYS) == "Keys()"
