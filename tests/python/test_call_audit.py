"""The audit of calls says what happened: compared with what the server has written down itself.

Many objects are held and dropped at once, so that Python gives ids of those that are gone to new
ones, which the guard must not take for the old ones.
"""

import ast
import collections
import contextlib
import json
import statistics

import pytest

import harness

#: Version of rpyc, name, threads and calls of each: together some 10,000 calls.
WALKERS = [("4.1.0", "a", 4, 1500), ("6.0.2", "b", 4, 1000)]

#: Which of the server's version is compared: what Houdini ships.
SERVER = "4.1.0"

#: What a client asks of the server before it comes to the scene.
CONNECTING = {"getmodule"}

#: Of what `children()` gives, the names of the nodes.
CHILDREN = {0: "c0", 2: "c1", 3: "c2"}

#: A function of the script.
FUNCTION = {"other": True}


def place(node):
    """The path of the object that an expression gives, without anything being called."""
    if isinstance(node, ast.Subscript):
        index = ast.literal_eval(node.slice)
        if isinstance(node.value, ast.Call) and node.value.func.attr == "children":
            return "%s/%s" % (place(node.value.func.value), CHILDREN[index])
        return "%s/%s" % (place(node.value), index)
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute), ast.dump(node)
    method, args = node.func.attr, [ast.literal_eval(arg) for arg in node.args]
    named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
    if isinstance(node.func.value, ast.Name):
        assert (node.func.value.id, method, len(args)) == ("traced", "node", 1)
        return args[0]
    above = place(node.func.value)
    if method == "same":
        return above
    if method == "node" and not args:
        return above.rpartition("/")[0]
    if method == "createNode":
        return "%s/%s" % (above, named["node_name"])
    assert method in ("node", "parm") and len(args) == 1, ast.dump(node)
    return "%s/%s" % (above, args[0])


def value(node):
    """An argument, as the server writes it down."""
    if isinstance(node, ast.Tuple):
        return {"tuple": [value(item) for item in node.elts]}
    if isinstance(node, (ast.Call, ast.Subscript)):
        return {"path": place(node)}
    return ast.literal_eval(node)


def parsed(text):
    """An expression of the audit."""
    return ast.parse(text, mode="eval").body


def subject(text, method):
    """The path of the object that a call goes to; ``None`` when it goes to the module."""
    node = parsed(text)
    if method == "__len__":
        assert node.func.id == "len"
        return place(node.args[0])
    if method == "__contains__":
        assert isinstance(node.ops[0], ast.In)
        return place(node.comparators[0])
    if method == "__getitem__":
        return place(node)
    assert isinstance(node, ast.Attribute) and node.attr == method, text
    return None if isinstance(node.value, ast.Name) else place(node.value)


def arguments(texts):
    """Positional and keyword arguments, as the server writes them down."""
    args, named = [], {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if equals and name.isidentifier():
            named[name] = value(parsed(rest))
        elif text.startswith("<function given to "):
            args.append(FUNCTION)
        else:
            args.append(value(parsed(text)))
    return args, named


#: How the arguments of what is no call stand behind it. An attribute that is a value is read.
FORMS = {"__len__": "", "__contains__": "", "__getitem__": "[…]", "label": ""}


def in_audit(record):
    """What a record of the audit says, to be compared."""
    assert record.get("form", "(…)") == FORMS.get(record["method"], "(…)"), record
    args, named = arguments(record.get("args", []))
    assert (record["outcome"] == "exception") == ("exception" in record), record
    return json.dumps([
        subject(record["call"], record["method"]), record["class"], record["method"], args, named,
        record.get("exception"),
    ], sort_keys=True)


def in_server(record):
    """The same of what the server has written down."""
    kind = "traced" if record["class"] is None else "traced." + record["class"]
    return json.dumps([
        record["path"], kind, record["method"], record["args"], record["named"],
        record["exception"],
    ], sort_keys=True)


def calls_of(site):
    """The records of calls."""
    text = (site.state / "audit" / "calls.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    return [record for record in records if record["event"] == "call"]


class Walked:
    """What the audit and the server say of the walks."""

    def __init__(self, site, audit, trace, calls):
        self.site = site
        self.calls = calls
        self.trace = trace
        self.to_client = [record for record in audit if record["direction"] == "to-client"]
        to_houdini = [record for record in audit if record["direction"] == "to-houdini"]
        self.connecting = [record for record in to_houdini if record["class"] == "root"]
        self.to_houdini = [record for record in to_houdini if record["class"] != "root"]


@pytest.fixture(scope="module")
def walked(machine):
    """Two clients of different versions walk through the scene at once."""
    with machine.server(SERVER) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        calls = 0
        with contextlib.ExitStack() as stack:
            scripts = [
                stack.enter_context(machine.script(
                    version, "tracing.py", agent.port, "walk", name, threads, count))
                for version, name, threads, count in WALKERS
            ]
            for script in scripts:
                result = script.result(120)
                assert not result["wrong"], result["wrong"]
                calls += result["calls"]
        site.assert_each_session_has_its_end()
        assert site.guard.terminate() == 0
        with machine.script(SERVER, "tracing.py", server.port, "taken") as script:
            trace = script.result()
        yield Walked(site, calls_of(site), trace, calls)


def test_ids_of_objects_that_are_gone_come_again(walked):
    """Else the other tests would show nothing."""
    assert len(walked.trace) == walked.calls >= 9_900
    named_by = collections.defaultdict(set)
    for record in walked.trace:
        if record["id"] is not None:
            named_by[record["id"]].add((record["class"], record["path"]))
    came_again = sum(len(paths) - 1 for paths in named_by.values())
    assert came_again > 1_000, (came_again, len(named_by))


def test_each_call_is_in_the_audit_once_under_the_right_name(walked):
    """Object, class, method, arguments and exception of each are those of the server."""
    audit = collections.Counter(map(in_audit, walked.to_houdini))
    server = collections.Counter(map(in_server, walked.trace))
    missing, invented = list((server - audit).items()), list((audit - server).items())
    assert not missing and not invented, (len(missing), missing[:5], len(invented), invented[:5])
    assert {record["method"] for record in walked.connecting} <= CONNECTING
    assert {record["outcome"] for record in walked.connecting} == {"ok"}


def test_each_callback_is_in_the_audit(walked):
    """With what it was given, and which call the function was handed over in."""
    tells = [record for record in walked.trace if record["method"] == "tells"]
    told = {record["args"][0]: record["path"] for record in tells}
    assert len(told) == len(tells) > 50
    for record in walked.to_client:
        (number, thing), named = arguments(record["args"])
        handed_over = record["call"].replace("<function given to ", "").rstrip(">")
        assert not named and record["outcome"] == "ok"
        assert subject(handed_over, "tells") == thing["path"] == told.pop(number)
    assert not told


def test_durations_contain_those_in_the_server(walked):
    """A call takes as long as in the server and a little more."""
    took = {}
    for record in walked.to_houdini:
        took.setdefault(in_audit(record), []).append(record["us"])
    over, cooked = [], 0
    for record in walked.trace:
        found = took[in_server(record)]
        if len(found) == 1 and record["method"] != "node":
            over.append(found[0] - record["us"])
            cooked += record["method"] == "cooks"
            assert record["method"] != "cooks" or found[0] >= 20_000
    assert len(over) > 3_000 and cooked > 20
    # The server's clock ticks in whole microseconds too.
    assert min(over) >= -1
    assert statistics.median(over) < 100_000


def test_the_audit_of_it_can_be_verified(walked):
    """Chain and signatures hold."""
    walked.site.run("hrpyc-guard", "audit", "verify", "--state-dir", walked.site.state)
    path = walked.site.state / "audit" / "calls.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    path.write_bytes(b"".join(lines[:middle] + lines[middle + 1:]))
    try:
        walked.site.run("hrpyc-guard", "audit", "verify", "--state-dir", walked.site.state, code=1)
    finally:
        path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("call, method, path", [
    ("traced.node", "node", None),
    ("traced.node('/obj/a').parm('tx').set", "set", "/obj/a/tx"),
    ("traced.node('/obj/a').node('b').children()[2].same().path", "path", "/obj/a/b/c1"),
    ("traced.node('/obj/a').createNode('geo', node_name='b')['ry'].node().label", "label",
     "/obj/a/b"),
    ("len(traced.node('/obj/a'))", "__len__", "/obj/a"),
    ("'x' in traced.node('/obj/a')", "__contains__", "/obj/a"),
    ("traced.node('/obj/a')", "__getitem__", "/obj/a"),
])
def test_expressions_are_read_as_python_reads_them(call, method, path):
    """What the comparison rests on."""
    assert subject(call, method) == path


def test_a_wrong_name_argument_or_outcome_would_be_seen():
    """The comparison tells records apart that differ in one thing."""
    record = {"call": "traced.node('/obj/a').fails", "class": "traced.Node", "method": "fails",
              "args": ["'key'", "7", "traced.node('/obj/b')"], "outcome": "exception",
              "exception": "builtins.KeyError"}
    assert json.loads(in_audit(record)) == [
        "/obj/a", "traced.Node", "fails", ["key", 7, {"path": "/obj/b"}], {}, "builtins.KeyError"]
    changes = [("call", "traced.node('/obj/b').fails"), ("class", "traced.Parm"),
               ("args", ["'key'", "8", "traced.node('/obj/b')"]),
               ("args", ["'key'", "7", "traced.node('/obj/c')"]),
               ("exception", "builtins.ValueError")]
    for key, changed in changes:
        assert in_audit(dict(record, **{key: changed})) != in_audit(record), key
