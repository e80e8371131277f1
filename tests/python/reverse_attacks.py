"""A hostile server's attacks on an artist, on different ways to that artist.

``hostile/hostile.py`` runs within a real server; ``victim.py`` calls it as an artist's script
would. Whoever holds the server back on a way stands alone there: the other end is open.
"""

import functools
import json
import pathlib
import tempfile

import attack
import harness

HOSTILE = harness.HERE / "hostile"

#: A module that a client could import, and which tells that it was.
TELLTALE = """import os
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'told-%s'), 'w').close()
"""
TELLTALES = ("raised", "unasked", "nested", "far", "great")

#: What rpyc refuses by itself.
NO_CONTROL = {"an_id_that_was_never_passed"}

#: These put something into the client's list, which a server may.
LAUNDERED = ("by_a_list", "by_a_list_of_methods")

#: No server of rpyc writes such messages: whoever reads them ends the session.
NOT_RPYC = {
    "attribute_in_bytes", "handler_as_a_float", "bytes_behind_the_message", "pickled_text",
    "comparison___getattribute__", "comparison___delattr__", "comparison___format__",
    "comparison___reduce_ex__", "comparison___getitem__", "format_on_a_text",
    "format_on_a_text_by_a_comparison", "slicing_with_a_name_to_fall_back_to",
    "drop_more_than_were_passed", "drop_less_than_none",
    "an_unasked_exception_that_names_a_module", "a_request_that_inflates_far", "a_great_request",
}

#: Whether such a message crosses the bridge between different rpycs is another question.
GREAT = {
    "a_request_that_inflates_far", "a_great_request", "a_great_value_for_an_attribute",
    "a_value_for_an_attribute_that_inflates_far",
    "an_exception_that_names_a_module_and_inflates_far", "a_great_exception_that_names_a_module",
}

#: Said in the refusals of either end.
BY_GUARD = "hrpyc-guard did not pass this on to the script: "
BY_ARTISTS_END = "the artist's end of hrpyc-guard did not pass this on to the script: "

#: Roles of guards that do not hold the server back: they read its messages, or not even that.
READS = "[role.full]\nreverse_calls = 'open'\n"
READS_NOTHING = "[role.full]\ninspect = 'off'\n"


def works(line):
    """Whether an attack has reached what it wanted."""
    return bool(line["reached"] or line["told"] or line.get("result", [""])[0] == "got")


class Victim:
    """An artist's scripts, in a folder that can be reached into."""

    def __init__(self, python, folder):
        self._python = python
        self._folder = pathlib.Path(folder)
        for name in TELLTALES:
            path = self._folder / ("telltale_%s.py" % name)
            path.write_text(TELLTALE % name, encoding="utf-8")

    def attacks(self, where):
        """What came of each attack, by its name."""
        lines = self._run("attacks", where)
        for path in self._folder.glob("reached-*"):
            path.unlink() if path.is_file() else path.rmdir()
        return {line["attack"]: line for line in lines}

    def kept(self, where):
        """What honest scripts found, and the refusals that came back to them."""
        return self._run("kept", where)

    def _run(self, task, where):
        command = [self._python, "-B", harness.HERE / "victim.py", task, where, self._folder]
        with harness.Program(command, cwd=self._folder) as program:
            code = program.wait(90)
            assert code == 0, program.printed()
            return [json.loads(line) for line in program.lines["out"] if line.startswith("{")]


def server(machine, version):
    """Starts a server that is hostile to whoever asks."""
    moved = machine.moved("env", "PYTHONPATH=%s" % HOSTILE, "PYTHONDONTWRITEBYTECODE=1")
    return moved.server(version)


@functools.cache
def directly(machine, pair):
    """The attacks, and what honest scripts find, with nothing in between."""
    with server(machine, pair[0]) as started, tempfile.TemporaryDirectory() as folder:
        victim = Victim(machine.python(pair[1]), folder)
        return victim.attacks(started.port), victim.kept(started.port)[0]


class Met:
    """What came of a server's attacks on a client, and of an honest script's calls.

    ``role`` is the guard's policy, ``reverse_calls`` what the profile says. With a Python of
    the package's, the script opens its tunnel itself.
    """

    def __init__(self, machine, pair, role="", reverse_calls="guarded", package=None):
        server_version, client_version = pair
        self.direct = self.direct_kept = None
        if ("6" in server_version[0]) == ("6" in client_version[0]):
            self.direct, self.direct_kept = directly(machine, pair)
        with server(machine, server_version) as started, harness.Site(machine) as site, \
                tempfile.TemporaryDirectory() as folder:
            policy = site.folder / "policy.toml"
            policy.write_text(role, encoding="utf-8")
            site.start_guard("127.0.0.1:%d" % started.port, "--policy", policy)
            site.join("alice", reverse_calls=reverse_calls)
            where = site.config("alice") if package else site.connect("alice").port
            victim = Victim(package or machine.python(client_version), folder)
            self.found = victim.attacks(where)
            self.kept, self.back = victim.kept(where)
            site.assert_each_session_has_its_end()
            self.calls = attack.calls(site)
            # Each session has one attack.
            self.sessions = {
                record["args"][0].strip("'"): record["session"]
                for record in self.calls
                if record["method"] == "attack" and record.get("args")
            }
            self.ends = {record["session"]: record for record in site.audit("closed")}

    def without_crossing(self):
        """What came of the attacks that do not depend on the bridge."""
        crossing = GREAT if self.direct is None else ()
        return {name: line for name, line in self.found.items() if name not in crossing}

    def assert_no_attack_works(self):
        """Nothing was got, nothing was made, nothing was changed."""
        worked = [line for line in self.found.values() if works(line)]
        assert not worked, "\n".join(map(json.dumps, worked))
        changed = [line for name, line in self.found.items()
                   if line.get("same") is False and not name.endswith(LAUNDERED)]
        assert not changed, "\n".join(map(json.dumps, changed))
        assert len(self.found) > 50

    def assert_refused_at_the_artists_end(self, but=()):
        """Each in a sentence, and the client goes on; or the session has ended with one."""
        wrong = []
        for name, line in self.without_crossing().items():
            if name in but:
                continue
            if "names_a_module" in name and name not in NOT_RPYC:
                cls, text = line["error"]
                good = cls.startswith("remote telltale") or "too great to be looked at" in text
            elif "error" in line:
                good = name in NOT_RPYC and "was ended at this end" in line["error"][1]
            else:
                good = line["after"] == 42 and BY_ARTISTS_END in line["result"][2]
            if not good:
                wrong.append(json.dumps(line))
        assert not wrong, "\n".join(wrong)

    def assert_honest_scripts_work(self):
        """Callbacks, event handlers, lists, dicts, streams, exceptions of Python's own."""
        found = self.kept
        assert found["seen"][0] == ["/obj/kept", "ParmTupleChanged", 1.5]
        assert found["seen"][1:] == ["in", "out"]
        assert found["items"] == "['first', 3, 4, 5, 6]"
        assert found["written"] == "caught\n"
        assert found["generator"] == 20
        assert found["great"] == [2 << 20, 2 << 20, 20 << 20]
        if self.direct_kept is not None:
            assert found == self.direct_kept
