"""What guard and agent have to say while a great message goes by slowly.

In the middle of it they would be taken for a part of it.
"""

import contextlib
import os
import queue
import signal
import threading

import pytest

import attack
import harness
from attack import Ended, Refused, Session

MIB = 1 << 20

#: It takes as much room on its way, and so much of it comes before something happens.
NOISE, BEGUN = os.urandom(2 * MIB), MIB

SHADOW = "[role.seen]\nextends = 'read-numeric'\nmode = '%s'\n"
OPEN = "[role.full]\nreverse_calls = 'open'\n"


@contextlib.contextmanager
def answering_slowly():
    """A server that begins to answer the first request with noise, and goes on when told."""
    goes_on = threading.Event()

    def serve(peer):
        client = attack.Peer(peer)
        with contextlib.suppress(Ended):
            _, seq, _ = attack.Reader(client.receive()).value()
            answer = attack.dump((attack.REPLY, seq, (attack.VALUE, NOISE)))
            answer = attack.frame(answer, packed=False)
            peer.sendall(answer[:BEGUN])
            goes_on.wait(harness.DEADLINE)
            peer.sendall(answer[BEGUN:])
            harness.read_all(peer)

    with harness.RawUpstream(serve) as upstream:
        yield upstream, goes_on.set
        goes_on.set()


def asks(session):
    """Asks for the noise, and takes what comes of the answer before the server goes on."""
    session.send(session.message(attack.PING, 1))
    return session.take(BEGUN)


def test_a_denial_waits_for_the_end_of_a_great_answer(site):
    """What a role in shadow mode lets go by is enforced from then on."""
    policy = site.folder / "policy.toml"
    policy.write_text(SHADOW % "shadow", encoding="utf-8")
    with answering_slowly() as (upstream, go_on):
        site.start_guard(upstream.address, "--policy", policy)
        with Session(site.bring_in("alice", role="seen").port) as session:
            begun = asks(session)
            policy.write_text(SHADOW % "enforce", encoding="utf-8")
            site.guard.process.send_signal(signal.SIGHUP)
            site.guard.line("the policy was read anew", "err")
            unknown = attack.Ref(("builtins.object", 1, 2))
            session.send(session.message(attack.STR, unknown))
            attack.wait_for_call(site, outcome="denied")
            go_on()
            session.put_back(begun)
            assert session.answer(1) == NOISE
            with pytest.raises(Refused) as denied:
                session.answer(2)
            assert denied.value.by_guard, denied.value


@pytest.mark.parametrize("at", ["guard", "agent"])
def test_a_refusal_waits_for_the_end_of_a_great_request(site, at):
    """Houdini asks for what it may not have, in the middle of a message to it."""
    heard = queue.Queue()

    def answered(client):
        _, seq, _ = attack.Reader(client.receive()).value()
        return attack.frame(attack.dump((attack.REPLY, seq, (attack.VALUE, "small"))))

    def serve(peer):
        client = attack.Peer(peer)
        with contextlib.suppress(Ended):
            # The guard's own look at a server ends here.
            peer.sendall(answered(client))
            answer = answered(client)
            client.put_back(client.take(BEGUN))
            unknown = attack.TUPLE, ((attack.LOCAL, ("builtins.eval", 1, 2)),)
            asked = attack.dump((attack.REQUEST, 77, (attack.STR, unknown)))
            peer.sendall(attack.frame(asked) + answer)
            for _ in range(2):
                heard.put(client.receive())
            harness.read_all(peer)

    policy = site.folder / "policy.toml"
    policy.write_text(OPEN if at == "agent" else "", encoding="utf-8")
    with harness.RawUpstream(serve) as upstream:
        site.start_guard(upstream.address, "--policy", policy)
        site.join("alice", reverse_calls="open" if at == "guard" else "guarded")
        with Session(site.connect("alice").port) as session:
            session.ask(attack.PING, 1)
            session.send(session.message(attack.PING, 2))
            asked = session.message(attack.PING, NOISE)
            great = attack.frame(asked, packed=False)
            session.write(great[:BEGUN])
            # It was sent behind the request that is refused.
            assert session.answer(2) == "small"
            session.write(great[BEGUN:])
            assert heard.get(timeout=harness.DEADLINE) == asked
            refusal = attack.Reader(heard.get(timeout=harness.DEADLINE)).value()
            kind, seq, (_, (text,), _, _) = refusal
            assert (kind, seq) == (attack.EXCEPTION, 77)
            end = "hrpyc-guard" if at == "guard" else "the artist's end of hrpyc-guard"
            assert text.startswith(end + " did not pass this on"), text
            assert session.asked == []


@pytest.mark.parametrize("why", ["session-idle", "session-revoked"])
def test_a_session_that_is_cut_in_a_great_answer_ends_with_what_has_come_of_it(site, why):
    """Neither guard nor agent tells the call that waits."""
    config = site.folder / "guard.toml"
    idle = "2s" if why == "session-idle" else "1h"
    config.write_text("[limits]\nidle_timeout = '%s'\n" % idle, encoding="utf-8")
    with answering_slowly() as (upstream, _):
        site.start_guard(upstream.address, "--config", config)
        with Session(site.bring_in("alice").port) as session:
            asks(session)
            if why == "session-revoked":
                site.revoke("alice")
            session.sock.settimeout(harness.DEADLINE)
            assert harness.read_all(session.sock) == b""
        (closed,) = harness.until("the end", lambda: site.audit("closed"))
        assert closed["reason"] == why, closed


def test_a_call_that_is_cut_in_its_great_request_is_told(site):
    """Nothing is on its way to the script then."""
    config = site.folder / "guard.toml"
    config.write_text("[limits]\nidle_timeout = '2s'\n", encoding="utf-8")
    with harness.RawUpstream(harness.read_all) as upstream:
        site.start_guard(upstream.address, "--config", config)
        with Session(site.bring_in("alice").port) as session:
            session.send(session.message(attack.PING, 1))
            great = attack.frame(session.message(attack.PING, NOISE), packed=False)
            session.write(great[:BEGUN])
            for seq in (2, 1):
                with pytest.raises(Ended, match="session-idle"):
                    session.answer(seq)
