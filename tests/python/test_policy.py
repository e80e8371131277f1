"""The policy file with real programs: read anew under live sessions, shadow mode, how closely the
guard looks, and functions of the script in either kind of role.
"""

import contextlib
import json
import signal
import socket
import threading

import pytest

import attack
import harness

#: The versions at both ends.
VERSIONS = ["4.1.0", "5.3.1", "6.0.2"]

READ = "hou.parm('/obj/sphere1/scale').eval()"
SET = "hou.parm('/obj/sphere1/scale').set(%s)"
NAME = "hou.node('/obj/sphere1').name()"

#: A role with its own contact; what it may do beyond reading is added.
LOOKDEV = '[role.lookdev]\nextends = "read-only"\ncontact = "lookdev-leads@studio.example"\n'
SETS = '[[role.lookdev.rule]]\nname = "dim"\nallow = ["hou.Parm.set"]\nargs = [%s]\n'
NAMELESS = '[[role.lookdev.rule]]\nname = "nameless"\ndeny = ["hou.*.name"]\n'

#: Makes a function of the script that keeps what it is called with.
TOLD = "[keep('seen', []), keep('told', lambda **named: seen.append(named['node'].path()))] and None"

#: Has the scene call a function of the script, and says what it was called with.
WATCH = "hou.node('/obj/sphere1').addEventCallback((hou.nodeEventType.ParmTupleChanged,), told)"


class Studio:
    """A server, a guard with a policy file, and artists who do as they are told."""

    def __init__(self, machine, stack, version, policy):
        self.machine = machine
        self.version = version
        self._stack = stack
        self.server = stack.enter_context(machine.server(version))
        self.site = stack.enter_context(harness.Site(machine))
        self.file = self.site.folder / "policy.toml"
        self.write(policy)
        self.site.start_guard(self.server.address, "--policy", self.file)

    def write(self, policy):
        """Writes the policy file; the guard does not read it by itself."""
        self.file.write_text(policy, encoding="utf-8")

    def reload(self, policy, said="the policy was read anew"):
        """Writes the policy file, or removes it, and has the guard read it. Gives what the
        guard's log says of it, up to the line with these words.
        """
        if policy is None:
            self.file.unlink()
        else:
            self.write(policy)
        log = self.site.guard.lines["err"]
        before = len(log)
        self.site.guard.process.send_signal(signal.SIGHUP)
        last = self.site.guard.line(said, "err", after=before)
        return "\n".join(log[before:log.index(last) + 1])

    def artist(self, name, role):
        """Somebody at work in a role."""
        agent = self.site.bring_in(name, role=role)
        script = self.machine.script(self.version, "asked.py", agent.port)
        self._stack.enter_context(script).said("ready")
        return lambda step: script.ask("0 " + step)

    def directly(self, step):
        """What comes of a step with nothing in between."""
        with self.machine.script(self.version, "asked.py", self.server.port) as script:
            script.said("ready")
            return script.ask("0 " + step)

    def closed(self):
        """The sessions that have ended, by identity and reason."""
        ends = self.site.audit("closed")
        return [(end["identity"].rsplit("/", 1)[1], end["reason"]) for end in ends]

    def audit(self, *args):
        """What a command of the audit prints."""
        return self.site.run("hrpyc-guard", "audit", "--state-dir", self.site.state, *args)


@pytest.fixture
def studio(machine):
    """Makes studios that go away with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda version, policy: Studio(machine, stack, version, policy)


def assert_denied(answer, rule, contact="your IT team"):
    """A denial by this rule, which names whom to ask."""
    assert answer.get("caught") == "PermissionError", answer
    assert "(rule %s, reference " % rule in answer["message"], answer
    assert "\nhint: ask %s," % contact in answer["message"], answer


@pytest.mark.parametrize("version", VERSIONS)
def test_a_live_session_is_judged_by_the_new_rules_from_its_next_call(studio, version):
    """Wider and narrower, for what was held before as well."""
    here = studio(version, LOOKDEV)
    ask = here.artist("alice", "lookdev")
    leads = "lookdev-leads@studio.example"
    assert ask(READ) == {"value": 1.0}
    assert_denied(ask(SET % 2.0), "default", leads)

    here.reload(LOOKDEV + SETS % '{ type = "number", max = 10 }')
    assert ask(SET % 2.0) == {"value": None}
    assert ask(READ) == {"value": 2.0}
    assert_denied(ask(SET % 11.0), "lookdev/dim", leads)
    assert ask("keep('set', hou.parm('/obj/sphere1/scale').set)") == {"value": None}
    assert ask("keep('name', hou.node('/obj/sphere1').name)") == {"value": None}
    assert ask("set(3.0)") == {"value": None}
    assert ask("name()") == {"value": "sphere1"}

    leads = "others@studio.example"
    here.reload(LOOKDEV.replace("lookdev-leads@studio.example", leads) + NAMELESS)
    assert_denied(ask("set(4.0)"), "default", leads)
    assert_denied(ask("name()"), "lookdev/nameless", leads)
    assert_denied(ask(NAME), "lookdev/nameless", leads)
    assert ask(READ) == {"value": 3.0}
    assert here.directly(READ) == {"value": 3.0}
    assert not here.closed()


def test_a_change_elsewhere_drops_nobody(studio):
    """New roles, changed ones that somebody else has, and one that is gone and had nobody."""
    here = studio("4.1.0", LOOKDEV + '[role.farm]\nextends = "full"\n[role.old]\n')
    asks = [here.artist("alice", "lookdev"), here.artist("bob", "full"),
            here.artist("service/farm", "farm"), here.artist("carol", "read-numeric")]
    said = here.reload(LOOKDEV.replace("leads@", "others@") +
                       '[role.farm]\nextends = "full"\ncontact = "it"\n[role.new]\n')
    assert "ended=0" in said
    for ask in asks:
        assert ask(NAME) == {"value": "sphere1"}
    # And who has a role that goes is dropped, alone.
    assert "ended=1" in here.reload('[role.farm]\nextends = "full"\n')
    here.site.wait_for_record("closed", reason="session-grant-changed")
    for ask in asks[1:]:
        assert ask(NAME) == {"value": "sphere1"}
    assert "caught" in asks[0](NAME)
    assert here.closed() == [("alice", "session-grant-changed")]


@pytest.mark.parametrize("broken, why", [
    ("[role.lookdev", "line 1"),
    (LOOKDEV + 'inspekt = "off"\n', "inspekt"),
    (LOOKDEV.replace("read-only", "red-only"), "red-only"),
    (LOOKDEV + 'inspect = "off"\n', "inspect"),
    (LOOKDEV + 'modules = ["os"]\n', "os"),
    (None, "policy.toml"),
])
def test_a_broken_policy_keeps_the_old_rules_and_says_so(studio, broken, why):
    """For live sessions and for those that come, and the log says what is wrong."""
    good = LOOKDEV + SETS % '{ type = "number" }'
    here = studio("5.3.1", good)
    ask = here.artist("alice", "lookdev")
    said = here.reload(broken, "hint: ")
    assert "THE NEW POLICY IS NOT USED, the old one stays in force" in said and why in said, said
    for judged in (ask, here.artist("bob", "lookdev")):
        assert judged(SET % 2.0) == {"value": None}
        assert_denied(judged("hou.setFrame(2)"), "default", "lookdev-leads@studio.example")
    assert not here.closed()
    here.reload(LOOKDEV)
    assert_denied(ask(SET % 2.0), "default", "lookdev-leads@studio.example")


@pytest.mark.parametrize("version", VERSIONS)
def test_shadow_mode_lets_everything_through_and_reports_what_would_be_denied(studio, version):
    """The scene changes; show, search and stats find what the role would have denied."""
    here = studio(version, LOOKDEV + 'mode = "shadow"\n')
    here.site.guard.line("this role is in shadow mode", "err")
    ask = here.artist("alice", "lookdev")
    assert ask(READ) == {"value": 1.0}
    assert ask(SET % 7.0) == {"value": None}
    assert ask("conn.eval('40 + 2')") == {"value": 42}
    raised = ask("hou.node('/obj/sphere1').createNode('nothing')")
    assert raised["message"] == "Invalid node type name: nothing"
    assert here.directly(READ) == {"value": 7.0}

    for fields in (
        dict(call="hou.parm('/obj/sphere1/scale').set", args=["7.0"]),
        dict(call="eval", args=["'40 + 2'"], rule="floor/forbidden"),
        dict(call="hou.node('/obj/sphere1').createNode", args=["'nothing'"],
             exception="hou.OperationFailed"),
    ):
        (record,) = attack.wait_for_call(here.site, outcome="would-be-denied", **fields)
        assert record["rule"] and record["role"] == "lookdev", record
    assert not [r for r in attack.calls(here.site) if r["outcome"] == "denied"]
    (read,) = attack.wait_for_call(here.site, method="eval", **{"class": "hou.Parm"})
    assert read["outcome"] == "ok"

    lines = here.audit("search", "parm*scale*set(7.0", "--outcome", "would-be-denied").splitlines()
    assert len(lines) == 1 and "WOULD-BE-DENIED by " in lines[0], lines
    would = [r for r in attack.calls(here.site) if r["outcome"] == "would-be-denied"]
    shown = here.audit("show", "-n", "999", "--outcome", "would-be-denied", "--json").splitlines()
    assert list(map(json.loads, shown)) == would
    stats = json.loads(here.audit("stats", "--json"))
    assert stats["all"]["would_be_denied"] == len(would)
    assert stats["roles"]["lookdev"]["would_be_denied"] == len(would)
    assert stats["all"]["denied"] == 0
    # What a narrow role could not judge goes through as well: great requests, and callbacks.
    assert ask("conn.builtin.len(os.urandom(3 << 20))") == {"value": 3 << 20}
    attack.wait_for_call(here.site, outcome="would-be-denied", rule="floor/size")
    assert ask(TOLD) == {"value": None}
    assert ask(WATCH) == {"value": None}
    assert ask(SET % 8.0) == {"value": None}
    assert ask("seen") == {"object": "list"} and ask("' '.join(seen)") == {"value": "/obj/sphere1"}
    assert not [r for r in attack.calls(here.site) if r["outcome"] == "denied"]
    # From the next call on it is enforced.
    here.reload(LOOKDEV)
    assert_denied(ask(SET % 1.0), "default", "lookdev-leads@studio.example")
    assert here.directly(READ) == {"value": 8.0}


#: Three roles that look more and more closely, the last as narrow roles always do.
LOOKS = LOOKDEV + '[role.full]\ninspect = "off"\n[role.watched]\nextends = "full"\n' \
    'inspect = "audit"\n'
LOOK = {"off": "full", "audit": "watched", "enforce": "lookdev"}

#: Framed as rpyc frames messages, and no message of rpyc's.
NO_RPYC = b"\x00\x00\x00\x04\x00junk\n"


@pytest.mark.parametrize("look, recorded", [
    ("off", []),
    ("audit", ["hou.Parm.eval ok", "hou.Parm.set ok", "root.eval ok"]),
    ("enforce", ["hou.Parm.eval ok", "hou.Parm.set denied", "root.eval denied"]),
])
def test_what_is_recorded_and_denied_depends_on_how_closely_the_guard_looks(
    studio, look, recorded
):
    """``off`` writes down who came and went; ``audit`` each call; ``enforce`` judges it first."""
    here = studio("4.1.0", LOOKS)
    ask = here.artist("alice", LOOK[look])
    assert ask(READ) == {"value": 1.0}
    for step, value in ((SET % 2.0, None), ("conn.eval('40 + 2')", 42)):
        if look == "enforce":
            assert ask(step)["caught"] == "PermissionError"
        else:
            assert ask(step) == {"value": value}
    here.site.revoke("alice")
    closed = here.site.wait_for_record("closed")
    assert closed["role"] == LOOK[look] and closed["bytes_up"] > 0 and closed["bytes_down"] > 0
    assert here.site.guard.terminate() == 0
    wanted = ("hou.Parm.eval", "hou.Parm.set", "root.eval")
    found = ["%s.%s %s" % (r["class"], r["method"], r["outcome"]) for r in attack.calls(here.site)]
    assert sorted({one for one in found if one.startswith(wanted)}) == recorded
    assert bool(found) == (look != "off")


@pytest.mark.parametrize("look", LOOK)
def test_bytes_that_are_no_rpyc_go_by_only_where_nobody_looks(machine, site, look):
    """Elsewhere they never reach Houdini, the session ends, and the audit says why."""
    file = site.folder / "policy.toml"
    file.write_text(LOOKS, encoding="utf-8")
    came = []
    with machine.server("4.1.0") as server:
        with harness.RawUpstream(lambda peer: pass_on(peer, server.port, came)) as upstream:
            site.start_guard(upstream.address, "--policy", file)
            agent = site.bring_in("alice", role=LOOK[look])
            with attack.Session(agent.port) as client:
                node = client.node()
                assert client.method(node, "path") == "/obj/sphere1"
                client.write(NO_RPYC)
                with contextlib.suppress(attack.Ended, attack.Refused):
                    client.method(node, "path")
            record = site.wait_for_record("closed")
            reached = [bytes(one) for one in came if NO_RPYC in one]
    if look == "off":
        assert len(reached) == 1, came
        assert record["reason"] != "session-protocol" and "sentence" not in record, record
    else:
        assert not reached
        assert record["reason"] == "session-protocol", record
        assert record["sentence"].startswith("the client sent something else than rpyc: "), record


def pass_on(peer, port, came):
    """Carries what a client sends to a server and back, and keeps it in ``came``."""
    received = bytearray()
    came.append(received)
    with socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=pour, args=(server, peer), daemon=True)
        back.start()
        pour(peer, server, received)
        back.join()


def pour(source, sink, kept=None):
    """Carries bytes until the source ends or the sink takes no more."""
    with contextlib.suppress(OSError):
        while True:
            part = source.recv(65536)
            if kept is not None:
                kept += part
            if not part:
                return sink.shutdown(socket.SHUT_WR)
            sink.sendall(part)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_function_of_the_script_is_refused_in_a_narrow_role_and_called_in_a_full_one(
    studio, version
):
    """In words that say what to give instead; also where a rule allows the method itself."""
    watches = '[[role.lookdev.rule]]\nname = "watch"\nallow = ["hou.OpNode.addEventCallback"]\n'
    here = studio(version, LOOKDEV + watches)
    full = here.artist("alice", "full")
    for step in (TOLD, WATCH, SET % 2.5):
        assert full(step) == {"value": None}
    assert full("' '.join(seen)") == {"value": "/obj/sphere1"}

    reads = here.artist("bob", "read-only")
    assert reads(TOLD) == {"value": None}
    assert_denied(reads(WATCH), "default")
    narrow = here.artist("carol", "lookdev")
    assert narrow(TOLD) == {"value": None}
    answer = narrow(WATCH)
    assert_denied(answer, "floor/argument", "lookdev-leads@studio.example")
    assert "an object of your own Python (a list, a dict, a function) cannot be given to Houdini " \
        "in this role: give plain values, and tuples for lists" in answer["message"]
    # Nothing was handed over, and all go on.
    assert full(SET % 3.5) == {"value": None}
    for ask in (full, reads, narrow):
        assert ask(READ) == {"value": 3.5}
        assert ask("len(seen)") == {"value": 2 if ask is full else 0}
    directions = {r["identity"].rsplit("/", 1)[1] for r in attack.calls(here.site)
                  if r["direction"] == "to-client"}
    assert directions == {"alice"}
