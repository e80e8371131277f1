"""Servers that want more of an artist's machine than to answer.

``hostile/hostile.py`` runs within a real server; ``victim.py`` calls it as an artist's script
would, directly, where each attack must succeed (otherwise it would prove nothing), and through
agent and guard under the role ``full``, where it must be refused and written down.
"""

import json

import pytest

import attack
import harness

HOSTILE = harness.HERE / "hostile"

#: Versions of the server and of the client.
PAIRS = [("4.1.0", "4.1.0"), ("4.1.5", "4.1.5"), ("5.3.1", "5.3.1"), ("6.0.2", "6.0.2"),
         ("4.1.0", "6.0.2"), ("6.0.2", "5.3.1")]

#: A module that a client could import, and which tells that it was.
TELLTALE = """import os
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'told-%s'), 'w').close()
"""

#: What rpyc refuses by itself.
NO_CONTROL = {"an_id_that_was_never_passed"}

#: These put something into the client's list, which a server may.
LAUNDERED = ("by_a_list", "by_a_list_of_methods")


class Met:
    """What came of a server's attacks on a client."""

    def __init__(self, machine, pair, folder):
        server_version, client_version = pair
        self.client = client_version
        moved = machine.moved("env", "PYTHONPATH=%s" % HOSTILE, "PYTHONDONTWRITEBYTECODE=1")
        for name in ("raised", "unasked", "nested"):
            (folder / ("telltale_%s.py" % name)).write_text(TELLTALE % name, encoding="utf-8")
        self.direct = self.direct_kept = None
        with moved.server(server_version) as server, harness.Site(machine) as site:
            if ("6" in server_version[0]) == ("6" in client_version[0]):
                self.direct = self._attacks(machine, server.port, folder)
                self.direct_kept, _ = self._run(machine, "kept", server.port, folder)
            site.start_guard("127.0.0.1:%d" % server.port)
            agent = site.bring_in("alice")
            self.guarded = self._attacks(machine, agent.port, folder)
            self.kept, self.back = self._run(machine, "kept", agent.port, folder)
            site.assert_each_session_has_its_end()
            self.calls = attack.calls(site)
            # Each session has one attack.
            self.sessions = {
                record["args"][0].strip("'"): record["session"]
                for record in self.calls
                if record["method"] == "attack" and record.get("args")
            }
            self.ends = {record["session"]: record for record in site.audit("closed")}

    def _attacks(self, machine, port, folder):
        lines = self._run(machine, "attacks", port, folder)
        for path in folder.glob("reached-*"):
            path.unlink() if path.is_file() else path.rmdir()
        return {line["attack"]: line for line in lines}

    def _run(self, machine, task, port, folder):
        script = harness.HERE / "victim.py"
        command = [machine.python(self.client), "-B", script, task, port, folder]
        with harness.Program(command) as program:
            code = program.wait(60)
            assert code == 0, program.printed()
            return [json.loads(line) for line in program.lines["out"] if line.startswith("{")]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "server-%s-client-%s" % pair)
def met(request, machine, tmp_path_factory):
    """All attacks of a version on a version."""
    return Met(machine, request.param, tmp_path_factory.mktemp("victim"))


def works(line):
    """Whether an attack has reached what it wanted."""
    return bool(line["reached"] or line["told"] or line.get("result", [""])[0] == "got")


def test_every_attack_works_without_a_guard(met):
    """Otherwise it would prove nothing."""
    if met.direct is None:
        pytest.skip("these versions understand each other through the guard only")
    failed = [
        line for name, line in met.direct.items() if not works(line) and name not in NO_CONTROL
    ]
    assert not failed, "\n".join(map(json.dumps, failed))


def test_no_attack_works_through_agent_and_guard(met):
    """Nothing was got, nothing was made, nothing was changed."""
    worked = [line for line in met.guarded.values() if works(line)]
    assert not worked, "\n".join(map(json.dumps, worked))
    changed = [line for name, line in met.guarded.items()
               if line.get("same") is False and not name.endswith(LAUNDERED)]
    assert not changed, "\n".join(map(json.dumps, changed))
    assert len(met.guarded) > 50


def test_the_client_goes_on_and_each_refusal_is_written_down(met):
    """The client's call has its answer and the connection lives; the server gets a sentence."""
    assert sorted(met.sessions) == sorted(met.guarded)
    wrong = []
    for name, line in met.guarded.items():
        session = met.sessions[name]
        denied = [record for record in met.calls if record["session"] == session
                  and record["direction"] == "to-client" and record["outcome"] == "denied"]
        if "names_a_module" in name:
            # The exception is raised, in another name, or has ended the session.
            good = "error" in line
        elif "error" in line:
            end = met.ends[session]
            good = end["reason"] == "session-protocol" and end.get("sentence")
        else:
            good = (line["after"] == 42 and denied and line["result"][0] == "refused"
                    and "hrpyc-guard" in line["result"][2] and denied[0]["rule"])
        if not good:
            wrong.append("%s, denied: %d, end: %s" % (
                json.dumps(line), len(denied), met.ends[session]["reason"]))
    assert not wrong, "\n".join(wrong)


def test_what_honest_scripts_do_goes_on_working(met):
    """Callbacks, event handlers, lists, dicts, streams, exceptions of Python's own."""
    found = met.kept
    assert found["seen"][0] == ["/obj/kept", "ParmTupleChanged", 1.5]
    assert found["seen"][1:] == ["in", "out"]
    assert found["items"] == "['first', 3, 4, 5, 6]"
    assert found["written"] == "caught\n"
    assert found["generator"] == 20
    if met.direct_kept is not None:
        assert found == met.direct_kept


def test_a_refusal_that_comes_back_to_the_script_can_be_read(met):
    """The server's Python passes it on as its own. Texts of an ``OSError`` get lost on that way."""
    assert met.back["isinstance"] == ["value", False]
    for name in ("globals", "private"):
        assert "hrpyc-guard" in met.back[name][1], met.back
