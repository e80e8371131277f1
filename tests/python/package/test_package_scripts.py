"""Scripts that people have today work with one changed line, and print the same."""

import json

import pytest

import harness
import kit

#: What an assistant asks for, in this order.
REQUESTS = [
    {"tool": "scene_info"},
    {"tool": "run_code", "code": "answer = 6 * 7\nprint('the answer is', answer)"},
    {"tool": "variable", "name": "answer"},
    {"tool": "evaluate", "expression": "{'list': [1, 2.5, None], 'text': 'ä€😀'}"},
    {"tool": "create_node", "parent": "/obj", "kind": "geo", "name": "by_assistant1"},
    {"tool": "create_node", "parent": "/obj/by_assistant1", "kind": "sphere", "name": None},
    {"tool": "scene_info"},
    {"tool": "create_node", "parent": "/obj", "kind": "teapot", "name": None},
    {"tool": "delete_node", "path": "/obj/by_assistant1"},
    {"tool": "delete_node", "path": "/obj/by_assistant1"},
    {"tool": "run_code", "code": "1 / 0"},
    {"tool": "run_code", "code": "def broken(:"},
    {"tool": "variable", "name": "never_set"},
    {"tool": "join_path", "parts": ["shows", "layout", "shot.hip"]},
    {"tool": "write_and_read", "text": "one\ntwo\n" * 500},
    {"tool": "send_data", "values": list(range(1000))},
    {"tool": "evaluate", "expression": "sorted(hou.node('/obj').children()[0].path())"},
]


def with_one_line_changed(script, old, new):
    """The text of a script in which exactly one line is another."""
    before = (kit.SCRIPTS / script).read_text(encoding="utf-8").splitlines(keepends=True)
    assert before.count(old + "\n") == 1, "the line is not there once"
    after = [new + "\n" if line == old + "\n" else line for line in before]
    assert sum(a != b for a, b in zip(before, after)) == 1 and len(before) == len(after)
    return "".join(after)


@pytest.fixture
def joined(desk, studio, request):
    """The desk's user has joined, and scripts find the profile without being told where."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-40:].strip("-")
    kit.join_at(desk, studio, name)
    return name


def assert_went_through_the_guard(studio, name, count):
    """The audit has the sessions of the changed script, and none of the original."""
    assert kit.wait_for_ends(studio, name) == count


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1"])
def test_a_pipeline_script_builds_the_same_scene(
        desk, package, studio, houdini, joined, version):
    """``import hrpyc`` becomes ``import hrpyc_guard as hrpyc``; the arguments stay."""
    desk.put(harness.HERE / "hrpyc_client.py", "hrpyc.py")
    desk.put(kit.SCRIPTS / "pipeline_script.py")
    changed = with_one_line_changed(
        "pipeline_script.py", "import hrpyc", "import hrpyc_guard as hrpyc")
    (desk.work / "changed.py").write_text(changed, encoding="utf-8")
    outputs = []
    for script in ("pipeline_script.py", "changed.py"):
        if script == "changed.py":
            assert kit.sessions(studio, joined) == {}
        done = desk.run(package.python(version), script, houdini.port, "sh010")
        assert (done.returncode, done.stderr) == (0, ""), done
        outputs.append(done.stdout)
    result = json.loads(outputs[0])
    assert result["nodes"]["/obj/sh010_crate1"]["parms"]["tx"] == 3.0
    assert any(line.startswith("TypeError: ") for line in result["log"])
    assert any("OperationFailed: " in line for line in result["log"])
    assert result["frame"] == 1001
    # The guard changes the module of exceptions that are not Python's own.
    assert "remote hou.OperationFailed" in outputs[1]
    assert outputs[1].replace("remote hou.", "hou.") == outputs[0]
    assert_went_through_the_guard(studio, joined, 1)


@pytest.mark.parametrize("version", ["5.3.1"])
def test_an_assistants_bridge_gives_the_same_answers(
        desk, package, studio, houdini, joined, version):
    """``from rpyc.utils.classic import connect`` becomes ``from hrpyc_guard import connect``."""
    desk.put(kit.SCRIPTS / "assistant_bridge.py")
    changed = with_one_line_changed(
        "assistant_bridge.py", "from rpyc.utils.classic import connect",
        "from hrpyc_guard import connect")
    (desk.work / "changed.py").write_text(changed, encoding="utf-8")
    requests = "".join(json.dumps(dict(request, id=number)) + "\n"
                       for number, request in enumerate(REQUESTS))
    outputs = []
    for script in ("assistant_bridge.py", "changed.py"):
        done = desk.run(package.python(version), script, houdini.port, given=requests)
        assert (done.returncode, done.stderr) == (0, ""), done
        outputs.append(done.stdout)
    answers = [json.loads(line) for line in outputs[0].splitlines()]
    assert [answer["id"] for answer in answers] == list(range(len(REQUESTS)))
    assert answers[1]["result"] == "the answer is 42\n"
    assert answers[2]["result"] == 42
    assert answers[5]["result"]["path"] == "/obj/by_assistant1/sphere1"
    assert [answer["id"] for answer in answers if "error" in answer] == [7, 9, 10, 11, 12]
    assert answers[14]["result"]["size"] == 4000
    assert answers[15]["result"] == [1000, 499500]
    assert outputs[1].replace("remote hou.", "hou.") == outputs[0]
    assert_went_through_the_guard(studio, joined, 1)


def test_the_makers_example_works_as_it_is_printed(desk, package, studio, joined):
    """The lines of the manual, with the one line changed, at the only profile."""
    (desk.work / "manual.py").write_text(
        "import hrpyc_guard as hrpyc\n"
        "\n"
        "connection, hou = hrpyc.import_remote_module()\n"
        'node = hou.node("/obj/sphere1")\n'
        'node.parm("scale").set(2.0)\n'
        'print(node.parm("scale").eval(), hou.node("/obj/sphere1").path() == node.path())\n',
        encoding="utf-8")
    done = desk.run(package.python(), "manual.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2.0 True\n", ""), done
    assert_went_through_the_guard(studio, joined, 1)
