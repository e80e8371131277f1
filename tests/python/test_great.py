"""Messages of more than a mebibyte, which the guard does not take whole.

Under the role ``full`` they stream through, or are translated while they come where client and
server have rpyc of different families.
"""

import contextlib
import os
import struct
import time
import zlib

import pytest

import attack
import harness
import needs
from attack import Ended, Mine, Refused, Session

MIB = 1 << 20

#: Server and client, of different families.
ACROSS = [("4.1.0", "6.0.2"), ("6.0.2", "4.1.0")]

#: How much rpyc hands to the system at a time. With its own 8000 bytes, 64 MiB take minutes.
CHUNK = 4 * MIB

#: What may be held of a message here.
HELD = 24 * MIB


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


class Behind:
    """A server behind a guard, and clients that speak rpyc by hand.

    ``six`` says of which family they are.
    """

    def __init__(self, machine, site, version, six, more=""):
        needs.linux()
        self.site = site
        self.six = six
        file = site.folder / "guard.toml"
        file.write_text(
            "[limits]\nheld_bytes = %d\n%s" % (HELD, more), encoding="utf-8")
        self.server = machine.server(version)
        site.start_guard("127.0.0.1:%d" % self.server.port, "--config", file)
        self.agents = {
            role: site.bring_in(role, role=role) for role in ("full", "read-numeric")
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()

    def session(self, role="full"):
        """A session that has said of which family it is."""
        session = Session(self.agents[role].port, self.six)
        session.root()
        return session

    def call(self, **fields):
        """The last of the records of calls with these fields."""
        return attack.wait_for_call(self.site, **fields)[-1]

    def ended_by(self, body, packed=1):
        """The sentence in the audit after a message that ends its session."""
        def ends():
            return [r for r in self.site.audit("closed") if r["reason"] == "session-protocol"]

        before = len(ends())
        with self.session() as session, pytest.raises(Ended):
            session.write(struct.pack("!LB", len(body), packed) + body + b"\n")
            session.answer(session.seq)
        record, = harness.until("an end", lambda: ends()[before:])
        return record["sentence"]


#: The version of the server, and whether clients speak as rpyc 6 does.
SAME, OTHER = [("4.1.0", False), ("6.0.2", True)], [("4.1.0", True), ("6.0.2", False)]


@pytest.fixture
def behind(request, machine, site):
    """A server and clients of one family."""
    with Behind(machine, site, *request.param) as made:
        yield made


of_one_family = pytest.mark.parametrize("behind", SAME, indirect=True)
across = pytest.mark.parametrize("behind", OTHER, indirect=True)
both = pytest.mark.parametrize("behind", SAME + OTHER, indirect=True)


def ping(session, data):
    """A ping, without its frame, and what must come back."""
    return session.message(attack.PING, data)


@across
def test_a_message_may_be_as_great_as_the_limit_and_no_greater(behind):
    """Inflated: in what little room it comes does not matter."""
    with behind.session() as session:
        # rpyc takes its time to send as much.
        length = session.evaluate("len")
        for data in (os.urandom(HELD - 200), bytes(HELD - 200)):
            assert session.call(length, data) == len(data)
        for data in (os.urandom(2 * MIB) + bytes(HELD - 2 * MIB), bytes(HELD)):
            body = zlib.compress(ping(session, data), 1)
            said = behind.ended_by(body)
            assert "limits.held_bytes" in said and str(HELD) in said, said


@pytest.mark.parametrize(("version", "six"), OTHER)
def test_a_message_that_comes_slowly_is_not_taken_for_idleness(machine, site, version, six):
    """Nothing goes on before all of it is there."""
    data = os.urandom(2 * MIB)
    with Behind(machine, site, version, six, "idle_timeout = '2s'\n") as behind:
        with behind.session() as session:
            frame = attack.frame(ping(session, data))
            for start in range(0, len(frame), MIB // 4):
                time.sleep(0.4)
                session.write(frame[start : start + MIB // 4])
            assert session.answer(session.seq) == data


@across
def test_a_bomb_costs_the_guard_little_memory(behind):
    """What is held is what comes, not what it could become."""
    with behind.session() as session:
        body = zlib.compress(ping(session, os.urandom(2 * MIB) + bytes(600 * MIB)), 1)
    before = attack.weighed(behind.site.guard.pid)
    assert "limits.held_bytes" in behind.ended_by(body)
    grown = attack.memory(behind.site.guard.pid) - before
    assert grown < 16 * MIB, "the guard grew by %.1f MiB" % (grown / MIB)


@across
def test_a_damaged_message_ends_the_session(behind):
    """Nothing of it is passed on."""
    with behind.session() as session:
        body = zlib.compress(ping(session, os.urandom(2 * MIB)), 1)
    middle = body[:MIB] + bytes(64) + body[MIB + 64:]
    for wrong, said in ((body[:-100], "damaged"), (middle, "damaged"),
                        (body + b"x" * 100, "goes on after its end"),
                        (body[:-4] + b"\0\0\0\0", "damaged")):
        assert said in behind.ended_by(wrong)


#: Texts that begin alike: one that is taken whole, one that takes more than a mebibyte on its way,
#: and one that does not and inflates far.
TEXTS = ["x" * 100 + rest for rest in ("y" * 5000, os.urandom(2 * MIB).hex(), "y" * (9 * MIB))]


@both
def test_a_great_request_is_written_down_as_a_small_one_is(behind):
    """What is called, on what, and how its arguments begin."""
    records = []
    with behind.session() as session:
        parm = session.get(session.parm(), "set")
        for count, text in enumerate(TEXTS, 1):
            with contextlib.suppress(Refused):
                session.call(parm, text, "more", kwargs=(("extend", True), ("by", text)))
            record = attack.wait_for_call(behind.site, count, method="set")[-1]
            records.append({
                name: record[name] for name in ("call", "class", "method", "args", "outcome")})
    assert records[0]["call"] == "hou.parm('/obj/sphere1/scale').set"
    assert records[0]["class"] == "hou.Parm"
    shown = "'%s…'" % ("x" * 64)
    assert records[0]["args"] == [shown, "'more'", "extend=True", "by=" + shown]
    for record in records[1:]:
        assert record == records[0]


@of_one_family
def test_what_a_rule_leaves_out_is_left_out_of_a_great_request(behind):
    """Of its record, and of those of what comes of it."""
    secret = "hunter2" + os.urandom(MIB).hex()
    with behind.session() as session:
        made = session.evaluate("lambda *args, **named: []")
        held = session.call(made, "user", kwargs=(("password", secret), ("by", 1)))
        session.method(held, "append", 1)
    record = behind.call(method="append")
    assert record["call"].endswith("(…).append"), record
    records = [r for r in attack.calls(behind.site) if "password=[redacted]" in r.get("args", ())]
    assert len(records) == 1, records
    assert "hunter2" not in str(attack.calls(behind.site))


@of_one_family
def test_what_a_great_answer_refers_to_has_its_name(behind):
    """The objects in it, and what is called on them."""
    with behind.session() as session:
        _, held = session.evaluate("(__import__('os').urandom(2 << 20), [])")
        session.method(held, "append", 1)
    record = behind.call(method="append")
    assert record["call"].startswith("eval(") and record["call"].endswith("[1].append"), record
    assert record["class"] == "builtins.list"


@pytest.mark.parametrize("text", TEXTS[1:], ids=["great-on-its-way", "great-inflated"])
@of_one_family
def test_a_great_request_is_denied_by_its_name(behind, text):
    """In a narrow role. What it passed is released, and the session lives on."""
    with behind.session("read-numeric") as session:
        parm = session.get(session.parm(), "set")
        with pytest.raises(Refused) as denied:
            session.call(parm, "first", Mine(), text, text)
        assert denied.value.by_guard, denied.value
        assert session.dropped == [Mine().pack]
        assert session.method(session.node(), "path") == "/obj/sphere1"
    record = behind.call(outcome="denied", method="set")
    assert record["rule"] == "floor/size" and record["ref"] in denied.value.message
    assert record["call"] == "hou.parm('/obj/sphere1/scale').set", record
    assert record["args"][0] == "'first'" and record["args"][1].startswith("<dict given to")
    assert record["args"][2].startswith("'" + "x" * 64) and record["args"][3] == "…", record


@of_one_family
def test_a_great_request_that_rpyc_would_read_otherwise_is_not_passed_on(behind):
    """Bytes at its end that rpyc does not look at. Directly, it is served."""

    def reached(port):
        path = behind.site.folder / ("reached-%d" % port)
        with Session(port, behind.six) as session:
            run = session.evaluate("lambda path, rest: open(path, 'w').close()")
            body = session.message(attack.CALL, run, (str(path), bytes(2 * MIB)), ())
            session.send(body + b"x", packed=False)
            with contextlib.suppress(Ended):
                session.answer(session.seq)
        return path.exists()

    assert reached(behind.server.port)
    assert not reached(behind.agents["full"].port)
    record = behind.site.wait_for_record("closed", reason="session-protocol")
    assert "bytes after the value" in record["sentence"], record


#: It takes little room on its way, and inflates to more than is taken whole.
FAR = bytes(20 * MIB)


def answering(kind, body):
    """A server that answers each request with this."""

    def serve(peer):
        client = attack.Peer(peer)
        with contextlib.suppress(Ended):
            while True:
                _, seq, _ = attack.Reader(client.receive()).value()
                peer.sendall(attack.frame(attack.dump((kind, seq, body))))

    return harness.RawUpstream(serve)


@pytest.mark.parametrize("role", ["full", "read-only"])
def test_an_answer_that_inflates_far_arrives_where_answers_are_not_judged(site, role):
    """In a narrow role the script gets a sentence in its place, and goes on."""
    with answering(attack.REPLY, (attack.VALUE, FAR)) as upstream:
        site.start_guard(upstream.address)
        with Session(site.bring_in("alice", role=role).port) as session:
            for _ in range(2):
                if role == "full":
                    assert session.ask(attack.PING, 1) == FAR
                else:
                    with pytest.raises(Refused, match="greater than this role allows") as refused:
                        session.ask(attack.PING, 1)
                    assert refused.value.name == "PermissionError"


@pytest.mark.parametrize("role", ["full", "read-only"])
def test_no_exception_that_inflates_far_reaches_the_script(site, role):
    """It would import the module that it names. Directly, it arrives."""

    def raised(port):
        with Session(port) as session, pytest.raises(Refused) as error:
            session.ask(attack.PING, 1)
        return error.value

    with answering(attack.EXCEPTION, (("telltale", "Boom"), (FAR,), (), "")) as upstream:
        assert raised(int(upstream.address.rsplit(":", 1)[1])).name == "Boom"
        site.start_guard(upstream.address)
        error = raised(site.bring_in("alice", role=role).port)
        assert error.name == "RuntimeError", error
        assert "hrpyc-guard did not pass on: it is too great to be looked at" in str(error), error


def test_no_request_of_houdinis_reaches_the_script_unread_because_it_is_great(machine, site):
    """A server sends one that takes little room and inflates to 20 MiB, with bytes at its end
    that rpyc does not look at. Directly, it arrives.
    """
    asked = attack.dump((attack.REQUEST, 77, (attack.GETROOT, (attack.VALUE, ()))))

    def serve(peer):
        peer.recv(65536)
        peer.sendall(attack.frame(asked + FAR))
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
        assert "bytes after the value" in record["sentence"], record


@pytest.mark.parametrize("role", ["full", "read-only"])
def test_a_great_request_of_houdinis_is_judged_when_it_is_there_whole(machine, site, role):
    """It is about an object that the script has not passed. Directly, it arrives."""
    heard = []

    def serve(peer):
        client = attack.Peer(peer)
        # The guard's own look at a server ends before.
        with contextlib.suppress(Ended):
            client.receive()
            answers = [answer(client, 1, os.urandom(2 * MIB)), answer(client, 2, FAR)]
            heard.append(answers)
            root = attack.REMOTE, ("rpyc.core.service.SlaveService", 3, 4)
            peer.sendall(attack.frame(attack.dump((attack.REPLY, 1, root))))
            harness.read_all(peer)

    def answer(client, seq, data):
        call = (attack.LOCAL, ("builtins.eval", 1, 2)), (attack.VALUE, (data,))
        call = attack.CALL, (attack.TUPLE, (*call, (attack.VALUE, ())))
        client.sock.sendall(attack.frame(attack.dump((attack.REQUEST, seq, call))))
        return attack.Reader(client.receive()).value()

    def asked(port):
        with Session(port) as session:
            session.root()
            return len(session.asked)

    with harness.RawUpstream(serve) as upstream:
        assert asked(int(upstream.address.rsplit(":", 1)[1])) == 2
        site.start_guard(upstream.address)
        agent = site.bring_in("alice", role=role)
        assert asked(agent.port) == 0
    for kind, _, (_, (said, *_), _, _) in heard[-1]:
        assert kind == attack.EXCEPTION and "has not passed" in said, said
    assert len(attack.wait_for_call(site, 2, rule="reverse-calls", direction="to-client")) == 2
