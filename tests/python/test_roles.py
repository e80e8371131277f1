"""Stock clients of every version, in the narrow roles, against servers of every version.

``test_versions.py`` has the role ``full``. A narrow role lets through what it allows, denies the
rest in words, and the connection lives on.
"""

import contextlib
import itertools
import re
import subprocess

import pytest

import attack
import harness
from test_versions import VERSIONS, named

#: The narrow roles that are always there, and who has them here.
ROLES = {"read-only": "service/farm", "read-numeric": "bob"}

#: What both allow, and what comes of it in the scene. A denial goes before each.
READS = [
    ("hou.node('/obj/sphere1').path()", "/obj/sphere1"),
    ("hou.node('/obj/sphere1').children()[0].name()", "sphere1"),
    ("hou.parm('/obj/cam1/focal').eval()", 50.0),
    ("hou.node('/obj/none') is None", True),
    ("hou.node('/obj/box1').node('box1').parent().path()", "/obj/box1"),
    ("len(hou.node('/obj/sphere1').parms())", 6),
]

#: What both deny: the rule that does so, and what the artist is told. Python itself asks for
#: names of two underscores; it passes over an ``AttributeError``.
DENIALS = [
    ("hou.node('/obj/sphere1').createNode('box')", "default", "it changes something"),
    ("hou.setFrame(24)", "default", "it changes something"),
    ("conn.eval('1 + 1')", "floor/forbidden", "it gives any Python"),
    ("conn.modules.os", "modules", "module os is not among those of this role"),
    ("hou.node(print)", "floor/argument", "an object of your own Python"),
    ("hou.node.__globals__", "floor/function", "leads into Houdini's Python"),
]

#: Numbers and texts for parms, where the two roles differ. Each has a parm of its own.
NUMBER = "hou.parm('/obj/box1/ty').set(%s)"
TEXT = "hou.parm('/obj/box1/note').set('`rm`')"

#: The last lines that Python prints of a denial that no script catches.
UNCAUGHT = """\
_get_exception_class.<locals>.Derived: service/farm may not do this in the role read-only: \
hou.ObjNode.createNode is not in this role: it changes something (rule default, reference REF)
hint: ask your IT team, and name the reference

========= Remote Traceback (1) =========
(hrpyc-guard sent this message; it comes from no Python code)
"""


class Desk:
    """Ways to a server of each version in each role."""

    def __init__(self, machine, site, ports):
        self.machine = machine
        self.site = site
        self.ports = ports
        self._said = {}

    def said(self, role, client, server):
        """What a client is answered in a role, by what it asked. It asks all servers at once."""
        if (role, client) not in self._said:
            ports = [self.ports[role][named(version)] for version in VERSIONS]
            with self.machine.script(client, "asked.py", *ports) as script:
                script.said("ready")
                self._said[role, client] = [asked(script, place) for place in range(len(ports))]
        return self._said[role, client][VERSIONS.index(server)]


def asked(script, place):
    """Reads and denials in turn, then what the roles differ in."""
    turns = itertools.chain.from_iterable(
        (denial[0], read[0]) for denial, read in zip(DENIALS, READS))
    steps = [*turns, NUMBER % 2.5, "hou.parm('/obj/box1/ty').eval()", TEXT, NUMBER % 0.0]
    return {step: script.ask("%d %s" % (place, step)) for step in steps}


@pytest.fixture(scope="module")
def desk(machine):
    """One guard in front of a server of each version, and an agent in each role."""
    with contextlib.ExitStack() as stack:
        servers = {v: stack.enter_context(machine.server(v)) for v in VERSIONS}
        site = stack.enter_context(harness.Site(machine))
        file = site.folder / "guard.toml"
        upstreams = [
            '  { name = "%s", address = "%s" },' % (named(version), server.address)
            for version, server in servers.items()
        ]
        file.write_text("\n".join(["upstream = [", *upstreams, "]\n"]), encoding="utf-8")
        site.start_guard(None, "--config", file)
        ports = {}
        for role, who in ROLES.items():
            site.join(who, role=role)
            ports[role] = site.connect_to(who, [named(version) for version in VERSIONS])
        yield Desk(machine, site, ports)



@pytest.mark.parametrize("server", VERSIONS)
@pytest.mark.parametrize("client", VERSIONS)
@pytest.mark.parametrize("role", ROLES)
def test_a_narrow_role_reads_is_denied_and_goes_on(desk, role, client, server):
    """Each read after a denial gives what is in the scene; each denial says who, why and what."""
    said = desk.said(role, client, server)
    found = {step: said[step].get("value", said[step]) for step, _ in READS}
    assert found == dict(READS)
    for step, rule, why in DENIALS:
        caught = "AttributeError" if "__" in step else "PermissionError"
        assert said[step].get("caught") == caught, (step, said[step])
        assert_says(said[step], ROLES[role], role, rule, why)


@pytest.mark.parametrize("server", VERSIONS)
@pytest.mark.parametrize("client", VERSIONS)
def test_only_read_numeric_sets_numbers_and_neither_sets_texts(desk, client, server):
    """What was set is read; a text, which Houdini expands, is denied in both."""
    numeric = desk.said("read-numeric", client, server)
    assert numeric[NUMBER % 2.5] == {"value": None}
    assert numeric["hou.parm('/obj/box1/ty').eval()"] == {"value": 2.5}
    reads = desk.said("read-only", client, server)
    assert_says(reads[NUMBER % 2.5], "service/farm", "read-only", "default", "changes something")
    assert reads["hou.parm('/obj/box1/ty').eval()"] == {"value": 0.0}
    assert_says(reads[TEXT], "service/farm", "read-only", "default", "changes something")
    rule, why = "read-numeric/set-number", "only with (number or bool"
    assert_says(numeric[TEXT], "bob", "read-numeric", rule, why)


def assert_says(answer, who, role, rule, why):
    """A denial names identity, role, reason, rule, reference, and whom to ask."""
    words = r"%s may not do this in the role %s: .*%s.* \(rule %s, reference [0-9a-f]{10}\)\n" \
        r"hint: ask your IT team, and name the reference$"
    pattern = words % tuple(re.escape(part) for part in (who, role, why, rule))
    assert re.match(pattern, answer.get("message", "")), answer


def test_each_denial_is_in_the_audit_under_the_reference_that_was_told(desk):
    """IT finds the record by what the artist reads out."""
    for role, who in ROLES.items():
        for client, server in itertools.product(VERSIONS, VERSIONS):
            for step, answer in desk.said(role, client, server).items():
                if "caught" not in answer:
                    continue
                reference = re.search(r"reference ([0-9a-f]{10})", answer["message"]).group(1)
                (record,) = attack.wait_for_call(desk.site, ref=reference)
                assert record["outcome"] == "denied", (step, record)
                assert record["role"] == role and record["identity"].endswith("/" + who), record
                assert "rule %s," % record["rule"] in answer["message"], (step, record)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_denial_that_no_script_catches_reads_so(desk, version):
    """As Python prints it: the sentence, whom to ask, and no traceback of code of ours."""
    port = desk.ports["read-only"][named("4.1.0")]
    script = "import rpyc; rpyc.classic.connect('127.0.0.1', %d)" \
        ".modules.hou.node('/obj/sphere1').createNode('box')" % port
    done = subprocess.run(
        [*desk.machine.inside, desk.machine.python(version), "-c", script], capture_output=True,
        encoding="utf-8", timeout=harness.DEADLINE, check=False)
    assert done.returncode == 1, done
    assert done.stderr.startswith("Traceback (most recent call last):\n"), done.stderr
    start = done.stderr.index("_get_exception_class")
    shown = re.sub("reference [0-9a-f]{10}", "reference REF", done.stderr[start:])
    assert shown == UNCAUGHT
