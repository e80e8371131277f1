"""Clients that want more than their role gives, against real servers.

Each attack of the package ``attacks`` is tried twice in each version of rpyc: on a server that
nothing protects, where it must succeed (otherwise it would prove nothing), and through agent and
guard in both narrow roles, where it must be denied and written down, or end its session with a
reason, and where nothing may have happened in the server. ``control="none"`` marks what rpyc
refuses by itself.
"""

import contextlib
import itertools
import json
import struct
import time

import pytest

import attack
import harness
import needs
from attack import Ended, Raw, Ref, Refused, Session
from attacks import ATTACKS, FAMILIES, ROLES, VERSIONS, Aim
# Each of them adds its attacks. The bare server keeps what was done to it, and a node with a
# callback of a client that has gone cannot be pickled: reading comes first.
from attacks import service, objects, arguments, writing, encoding, great, ids

#: A module that the server could import, and which tells that it was.
TELLTALE = "import os\nopen(os.environ['TELLTALE'], 'w').close()\n"

#: What the state of the server is known by. A change that an attack has made shows here.
STATE = """(lambda hou: repr((
    sorted(vars(hou)), hou._root.name(), hou._context.frame, hou.hipFile._saved, hou.hipFile._path,
    [(n.path(), sorted(vars(n)), len(n._callbacks), [(p.path(), p._value) for p in n.parms()])
     for n in (lambda walk: walk(walk, hou._root))(
         lambda walk, n: [n] + [m for c in n.children() for m in walk(walk, c)])],
    [sorted(vars(c)) for c in (hou.Node, hou.ObjNode, hou.Parm, hou.HipFile)],
)))(__import__('hou'))"""


class Target:
    """A server behind a guard, another that nothing protects, and an eye on each."""

    def __init__(self, machine, version, folder):
        self.six = version.startswith("6")
        self.folder = folder
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        (folder / "telltale.py").write_text(TELLTALE, encoding="utf-8")
        self.bare = self._server(machine, version, "bare")
        self.server = self._server(machine, version, "guarded")
        self.site = self._stack.enter_context(harness.Site(machine))
        self.site.start_guard("127.0.0.1:%d" % self.server.port)
        self.agents = {role: self.site.bring_in(role, role=role) for role in ROLES}
        self.honest = self._stack.enter_context(self.session(ROLES[0]))
        self.eye = self._stack.enter_context(Session(self.server.port, self.six))
        self.eval = self.eye.held("eval")
        self.state = self.look()

    def _server(self, machine, version, name):
        moved = machine.moved(
            "env", "PYTHONPATH=%s" % self.folder, "PYTHONDONTWRITEBYTECODE=1",
            "TELLTALE=%s" % self.telltale(name))
        return self._stack.enter_context(moved.server(version))

    def telltale(self, name):
        """The file that the telltale module writes."""
        return self.folder / ("telltale-" + name)

    def look(self):
        """The state of the server behind the guard."""
        return self.eye.call(self.eval, STATE)

    def aim(self, name=None):
        """A file that is not there yet."""
        if name is not None:
            return Aim(self.telltale(name))
        return Aim(self.folder / ("reached-%d" % next(self._numbers)))

    def bare_session(self):
        """A session with the server that nothing protects."""
        return Session(self.bare.port, self.six)

    def session(self, role):
        """A session with the guarded one."""
        return Session(self.agents[role].port, self.six)

    def audited(self):
        """How much of the log of calls there is, in whole lines."""
        path = self.site.seen_state / "audit" / "calls.jsonl"
        return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0

    def calls_since(self, offset):
        """Records of calls after that."""
        path = self.site.seen_state / "audit" / "calls.jsonl"
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(offset)
            lines = file.read().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [record for record in found if record["event"] == "call"]

    def close(self):
        """Ends all of it."""
        self._stack.close()


@pytest.fixture(scope="module")
def targets(request, machine, tmp_path_factory):
    """Makes a target for each version, once."""
    made = {}

    def get(version):
        if version not in made:
            made[version] = Target(machine, version, tmp_path_factory.mktemp("target"))
            request.addfinalizer(made[version].close)
        return made[version]

    return get


CASES = [
    pytest.param(version, name, id="%s-%s" % (version, name))
    for version in VERSIONS
    for name, one in ATTACKS.items()
    # What rpyc refuses by itself is the same in all of a family.
    if version in one.versions and (one.control == "works" or version in FAMILIES)
]


@pytest.mark.parametrize(("version", "name"), CASES)
def test_an_attack_is_refused_and_written_down(targets, version, name):
    """It succeeds on a bare server, and in no narrow role."""
    target, one = targets(version), ATTACKS[name]
    wants_module = "names_a_module" in name
    if one.control == "works":
        with target.bare_session() as session:
            aim = target.aim("bare" if wants_module else None)
            assert one.run(session, aim), "it does not work without a guard either"
    for role in one.roles:
        refused(target, one, role, target.aim("guarded" if wants_module else None))


def refused(target, one, role, aim):
    """Tries an attack in a role."""
    before = target.audited()
    ends_before = len(target.site.audit("closed"))
    with target.session(role) as session:
        error = None
        try:
            assert not one.run(session, aim), "it has worked in %s" % role
        except (Refused, Ended) as raised:
            error = raised
        assert not aim.reached(), "it has worked in %s" % role
        if isinstance(error, Refused):
            assert one.outcome in ("denied", "either"), "the session goes on: %s" % error
            assert error.by_guard, "the server has answered: %s" % error
            assert error.name in ("PermissionError", "AttributeError"), error
            assert_written(target, before, role, error)
            # The connection lives on.
            assert session.method(session.node(), "path") == "/obj/sphere1"
        else:
            assert one.outcome in ("ends", "either"), "%r, and not a denial" % error
            assert isinstance(error, Ended), "nothing came of it"
            assert_ended(target, ends_before, role)
    assert not target.telltale("guarded").exists()
    assert target.look() == target.state, "the server was changed"
    # And the guard is there for others.
    assert target.honest.ask(attack.PING, "honest") == "honest"


def assert_written(target, before, role, error):
    """The denials of an attack are in the audit, with what the client was told."""

    def find():
        records = [r for r in target.calls_since(before) if r["outcome"] == "denied"]
        return records if any(r["ref"] in error.message for r in records) else None

    records = harness.until("a record of %s" % error.message, find)
    for record in records:
        assert record["identity"].endswith("/" + role), record
        assert (record["role"], record["direction"]) == (role, "to-houdini"), record
        assert record["rule"] and record["call"], record
    told = [r for r in records if r["ref"] in error.message][0]
    assert told["rule"] in error.message and "/%s may" % role in "/" + error.message, error.message


def assert_ended(target, before, role):
    """A session has ended for what was sent in it."""
    log = target.site

    def find():
        ends = log.audit("closed")[before:]
        return [r for r in ends if r["role"] == role and r["reason"] == "session-protocol"]

    records = harness.until("the end of the session in the audit", find, 10)
    assert any(record.get("sentence") for record in records), records


# What takes memory and time.

MIB = 1 << 20


@pytest.fixture(scope="module", params=FAMILIES)
def target(request, targets):
    """A target of each family."""
    needs.linux()
    return targets(request.param)


def assert_well(target, before, most):
    """The guard has taken no more memory than that, and is there for others."""
    grown = attack.memory(target.site.guard.pid) - before
    assert grown < most, "the guard grew by %.1f MiB" % (grown / MIB)
    assert target.honest.method(target.honest.node(), "path") == "/obj/sphere1"
    with target.session("read-numeric") as session:
        assert session.ask(attack.PING, "honest") == "honest"


def test_a_bomb_is_not_inflated(target):
    """200 KB become 200 MB in a server, and are denied by the guard."""
    size = 200 * MIB
    with target.bare_session() as session:
        session.root()
        before = attack.weighed(target.bare.pid)
        session.send(bomb(session, size))
        session.answer(session.seq)
        assert attack.memory(target.bare.pid) - before > size / 2, "no bomb"
    before = attack.weighed(target.site.guard.pid)
    for role in ROLES:
        audited = target.audited()
        with target.session(role) as session:
            session.root()
            with pytest.raises(Refused) as denied:
                session.send(bomb(session, size))
                session.answer(session.seq)
            assert denied.value.by_guard, denied.value
            assert_written(target, audited, role, denied.value)
            assert session.method(session.node(), "path") == "/obj/sphere1"
    # It may inflate 16 MiB, in two sessions, and the memory allocator may keep it.
    assert_well(target, before, 48 * MIB)


def bomb(session, size):
    """A ping with that many zeros."""
    return session.message(attack.PING, Raw(b"\x0f" + struct.pack("!I", size) + bytes(size)))


def test_a_request_over_a_mebibyte_is_denied_and_not_kept(target):
    """64 MiB of it go by, and the session lives on."""
    before, audited = attack.weighed(target.site.guard.pid), target.audited()
    with target.session("read-only") as session:
        session.root()
        data = session.message(attack.PING, bytes(64 * MIB))
        session.write(struct.pack("!LB", len(data), 0) + data + b"\n")
        with pytest.raises(Refused) as denied:
            session.answer(session.seq)
        assert denied.value.by_guard, denied.value
        assert_written(target, audited, "read-only", denied.value)
        assert session.method(session.node(), "path") == "/obj/sphere1"
    assert_well(target, before, 8 * MIB)


def test_a_request_that_announces_four_gibibytes_takes_none(target):
    """It is denied when its head is there; what follows is not kept."""
    before, audited = attack.weighed(target.site.guard.pid), target.audited()
    with target.session("read-only") as session:
        session.root()
        data = session.message(attack.PING, bytes(8 * MIB))
        session.write(struct.pack("!LB", 0xFFFFFFFF, 0) + data)
        with pytest.raises((Refused, Ended)) as denied:
            session.answer(session.seq)
        if isinstance(denied.value, Refused):
            assert_written(target, audited, "read-only", denied.value)
    assert_well(target, before, 8 * MIB)


def test_halves_of_frames_take_no_more_than_their_own_size(target):
    """Thirty sessions that each begin a frame of a mebibyte and go no further."""
    before = attack.weighed(target.site.guard.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            session = stack.enter_context(target.session("read-only"))
            session.root()
            data = session.message(attack.PING, bytes(MIB - 64))
            session.write(struct.pack("!LB", len(data), 0) + data[: MIB // 2])
        time.sleep(0.2)
        assert_well(target, before, 30 * 2 * MIB)


def test_a_slow_frame_holds_up_nobody_and_is_judged(target):
    """One byte each 100 ms. What it asks is denied when it is there, and not before."""
    audited = target.audited()
    with target.session("read-only") as session:
        hou = session.hou()
        data = attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
        session.write(data[:-6])
        for byte in data[-6:]:
            assert target.honest.method(target.honest.node(), "path") == "/obj/sphere1"
            assert session.seq not in session.answers
            time.sleep(0.1)
            session.write(bytes([byte]))
        with pytest.raises(Refused) as denied:
            session.answer(session.seq)
        assert_written(target, audited, "read-only", denied.value)


def test_a_client_that_does_not_read_fills_no_memory(target):
    """Denials wait at the client's end, and then the guard takes no more requests."""
    before = attack.weighed(target.site.guard.pid)
    with target.session("read-only") as session:
        hou = session.hou()
        many = b"".join(
            attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
            for _ in range(2000)
        )
        session.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(100):
                session.sock.sendall(many)
                many = b"".join(
                    attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
                    for _ in range(2000)
                )
    assert_well(target, before, 16 * MIB)


def test_a_client_whose_calls_wait_for_their_records_fills_no_memory(site):
    """A session may have 1024 records that are not complete. Then nothing more is taken of it."""
    needs.linux()

    def serve(peer):
        while peer.recv(65536):
            pass

    with harness.RawUpstream(serve) as upstream:
        site.start_guard(upstream.address)
        agent = site.bring_in("alice")
        with Session(agent.port) as session:
            asked = Ref(("builtins.object", 1, 2))
            calls = [attack.frame(session.message(attack.STR, asked)) for _ in range(1100)]
            before = attack.weighed(site.guard.pid)
            session.write(b"".join(calls))
            session.sock.settimeout(1)
            rest = attack.frame(session.message(attack.PING, bytes(MIB // 2)), packed=False)
            with pytest.raises(OSError):
                for _ in range(128):
                    session.sock.sendall(rest)
            grown = attack.memory(site.guard.pid) - before
            assert grown < 16 * MIB, "the guard grew by %.1f MiB" % (grown / MIB)
