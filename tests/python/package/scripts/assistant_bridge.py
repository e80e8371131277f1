"""Lets an assistant work in Houdini: one JSON request a line in, one JSON answer a line out.

The argument is the port. A request is ``{"id": 1, "tool": NAME, ...}``; an answer has the
same id and either ``result`` or ``error``.
"""

import json
import sys

import rpyc
from rpyc.utils.classic import connect

TOOLS = {}


def tool(function):
    """Offers a function to the assistant."""
    TOOLS[function.__name__] = function
    return function


@tool
def run_code(connection, code):
    """Runs statements; what they print comes back."""
    connection.namespace["code"] = code
    connection.execute(
        "import contextlib, io\n"
        "printed = io.StringIO()\n"
        "with contextlib.redirect_stdout(printed):\n"
        "    exec(code, globals())\n"
        "printed = printed.getvalue()\n"
    )
    return connection.namespace["printed"]


@tool
def evaluate(connection, expression):
    """The value of an expression, as a copy on this side."""
    return rpyc.classic.obtain(connection.eval(expression))


@tool
def scene_info(connection):
    """What is in the scene, gathered over there in one go and then brought here."""
    connection.execute(
        "import hou\n"
        "def scene_info():\n"
        "    return {'hip': hou.hipFile.name(),\n"
        "            'nodes': [n.path() for n in hou.node('/obj').children()],\n"
        "            'types': {n.name(): n.type() for n in hou.node('/obj').children()}}\n"
    )
    return rpyc.classic.obtain(connection.namespace["scene_info"]())


@tool
def create_node(connection, parent, kind, name):
    """Makes a node, step by step from here."""
    hou = connection.modules.hou
    node = hou.node(parent).createNode(kind, name)
    return {"path": node.path(), "parms": [parm.name() for parm in node.parms()]}


@tool
def delete_node(connection, path):
    """Removes a node."""
    connection.modules.hou.node(path).destroy()
    return True


@tool
def join_path(connection, parts):
    """A path in the manner of the machine that Houdini runs on."""
    return connection.modules.os.path.join(*parts)


@tool
def write_and_read(connection, text):
    """Writes a file beside Houdini, reads it back and removes it."""
    with connection.modules.tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
        file.write(text)
        file.flush()
        size = connection.modules.os.stat(file.name).st_size
        file.seek(0)
        return {"size": size, "lines": [line.rstrip("\n") for line in file]}


@tool
def variable(connection, name):
    """A variable that an earlier request has left in the namespace."""
    return rpyc.classic.obtain(connection.namespace[name])


@tool
def send_data(connection, values):
    """Brings values over and has them counted there."""
    there = rpyc.classic.deliver(connection, values)
    return [connection.builtins.len(there), connection.builtins.sum(there)]


def main():
    """Answers until the input ends."""
    connection = connect("127.0.0.1", int(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request.pop("id")}
        try:
            answer["result"] = TOOLS[request.pop("tool")](connection, **request)
        except Exception as error:
            answer["error"] = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
        sys.stdout.write(json.dumps(answer, sort_keys=True) + "\n")
        sys.stdout.flush()
    connection.close()


if __name__ == "__main__":
    main()
