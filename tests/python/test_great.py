"""Messages of more than a mebibyte, which the guard does not take whole.

Under the role ``full`` they stream through, or are translated while they come where client and
server have rpyc of different families.
"""

import os
import struct
import time
import zlib

import pytest

import attack
import harness
import needs
from attack import Ended, Raw, Session

MIB = 1 << 20

#: Server and client, of different families.
ACROSS = [("4.1.0", "6.0.2"), ("6.0.2", "4.1.0")]

#: How much rpyc hands to the system at a time. With its own 8000 bytes, 64 MiB take minutes.
CHUNK = 4 * MIB

#: The least that ``limits.translated_bytes`` may be.
LEAST = 16 * MIB


@pytest.mark.parametrize("server_version, client_version", ACROSS)
def test_64_mib_cross_the_families_in_both_directions(
        machine, site, shown, server_version, client_version):
    """Noise, which takes as much room on the way, and what takes next to none."""
    wanted = dict(sizes=[64 * MIB], chunk=CHUNK)
    with machine.server(server_version) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist(client_version, "large", agent.port, **wanted) as artist:
            result = artist.result(120)
    assert [found[:2] for found in result["found"]] == [["noise", 64 * MIB], ["even", 64 * MIB]]
    for kind, _, here, there in result["found"]:
        assert here == there, kind
    shown.append("64 MiB from %s to %s and back: %s" % (
        server_version, client_version,
        ", ".join("%.1f and %.1f s" % tuple(seconds) for seconds in result["seconds"])))


class Across:
    """A server of one family, and a client that speaks the other by hand."""

    def __init__(self, machine, site, version):
        needs.linux()
        self.site = site
        self.six = not version.startswith("6")
        file = site.folder / "guard.toml"
        file.write_text(
            "[limits]\ntranslated_bytes = %d\nidle_timeout = '2s'\n" % LEAST, encoding="utf-8")
        self.server = machine.server(version)
        site.start_guard("127.0.0.1:%d" % self.server.port, "--config", file)
        self.agent = site.bring_in("alice")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()

    def session(self):
        """A session that has said of which family it is."""
        session = Session(self.agent.port, self.six)
        session.root()
        return session

    def ended_by(self, body):
        """The sentence in the audit after a compressed message that ends its session."""
        def ends():
            return [r for r in self.site.audit("closed") if r["reason"] == "session-protocol"]

        before = len(ends())
        with self.session() as session, pytest.raises(Ended):
            session.write(struct.pack("!LB", len(body), 1) + body + b"\n")
            session.answer(session.seq)
        record, = harness.until("an end", lambda: ends()[before:])
        return record["sentence"]


@pytest.fixture(params=["4.1.0", "6.0.2"])
def across(request, machine, site):
    """A server of each family."""
    with Across(machine, site, request.param) as made:
        yield made


def ping(session, data):
    """A ping, without its frame, and what must come back."""
    return session.message(attack.PING, data)


def test_a_message_may_be_as_great_as_the_limit_and_no_greater(across):
    """Inflated: in what little room it comes does not matter."""
    with across.session() as session:
        for data in (os.urandom(LEAST - 100), bytes(LEAST - 100)):
            assert session.ask(attack.PING, data) == data
        for data in (os.urandom(2 * MIB) + bytes(LEAST - 2 * MIB), bytes(LEAST)):
            body = zlib.compress(ping(session, data), 1)
            said = across.ended_by(body)
            assert "limits.translated_bytes" in said and str(LEAST) in said, said


def test_a_message_that_comes_slowly_is_not_taken_for_idleness(across):
    """Nothing goes on before all of it is there."""
    data = os.urandom(2 * MIB)
    with across.session() as session:
        frame = attack.frame(ping(session, data))
        for start in range(0, len(frame), MIB // 4):
            time.sleep(0.4)
            session.write(frame[start : start + MIB // 4])
        assert session.answer(session.seq) == data


def test_a_bomb_costs_the_guard_little_memory(across):
    """What is held is what comes, not what it could become."""
    with across.session() as session:
        body = zlib.compress(ping(session, os.urandom(2 * MIB) + bytes(600 * MIB)), 1)
    before = attack.weighed(across.site.guard.pid)
    assert "limits.translated_bytes" in across.ended_by(body)
    grown = attack.memory(across.site.guard.pid) - before
    assert grown < 16 * MIB, "the guard grew by %.1f MiB" % (grown / MIB)


def test_a_damaged_message_ends_the_session(across):
    """Nothing of it is passed on."""
    with across.session() as session:
        body = zlib.compress(ping(session, os.urandom(2 * MIB)), 1)
    middle = body[:MIB] + bytes(64) + body[MIB + 64:]
    for wrong, said in ((body[:-100], "damaged"), (middle, "damaged"),
                        (body + b"x" * 100, "goes on after its end"),
                        (body[:-4] + b"\0\0\0\0", "damaged")):
        assert said in across.ended_by(wrong)


def test_no_request_of_houdinis_reaches_the_script_unread_because_it_is_great(machine, site):
    """A server sends one that takes little room and inflates to 20 MiB, with bytes at its end
    that rpyc does not look at. Directly, it arrives.
    """
    asked = attack.dump((attack.REQUEST, 77, (attack.GETROOT, (attack.VALUE, ()))))

    def serve(peer):
        peer.recv(65536)
        peer.sendall(attack.frame(asked + bytes(20 * MIB)))
        peer.recv(65536)

    def arrived(port):
        with Session(port) as session:
            session.send(session.message(attack.GETROOT))
            with pytest.raises(Ended):
                session.answer(session.seq)
            return session.asked

    with harness.RawUpstream(serve) as upstream:
        assert arrived(int(upstream.address.rsplit(":", 1)[1]))
        site.start_guard(upstream.address)
        agent = site.bring_in("alice")
        assert arrived(agent.port) == []
        record = site.wait_for_record("closed", reason="session-protocol")
        assert "greater than the limit" in record["sentence"], record
