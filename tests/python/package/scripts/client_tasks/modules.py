"""Where the package is, which server is meant, and what a script gets of it."""

import sys

import rpyc

import hrpyc_guard
from client_tasks import listening, outcome, task


@task
def where():
    """What was imported."""
    import hrpyc_guard._native as native

    return {
        "package": hrpyc_guard.__file__,
        "native": native.__file__,
        "rpyc": ".".join(str(part) for part in rpyc.__version__)
        if isinstance(rpyc.__version__, tuple) else str(rpyc.__version__),
        "python": list(sys.version_info[:2]),
        "prefix": sys.prefix,
    }


@task
def example():
    """The manual's example and what keeps it going on this Python."""
    import hrpyc_guard as hrpyc

    connection, hou = hrpyc.import_remote_module()
    node = hou.node("/obj/sphere1")
    node.parm("scale").set(2.0)
    seen = []
    connection.eval("lambda f: f(7)")(seen.append)
    return {"scale": node.parm("scale").eval(), "seen": seen, "listening": listening()}


@task
def imports(calls):
    """What each way to call ``import_remote_module`` leads to: ``[args, kwargs]``."""
    found = []
    for args, kwargs in calls:
        def attempt(args=args, kwargs=kwargs):
            connection, module = hrpyc_guard.import_remote_module(*args, **kwargs)
            try:
                return {"module": module.__name__,
                        "pid": connection.modules.os.getpid()}
            finally:
                connection.close()

        found.append(outcome(attempt))
    return {"found": found}


@task
def connects(calls):
    """The same for ``connect``."""
    found = []
    for args, kwargs in calls:
        def attempt(args=args, kwargs=kwargs):
            connection = hrpyc_guard.connect(*args, **kwargs)
            try:
                return {"pid": connection.modules.os.getpid()}
            finally:
                connection.close()

        found.append(outcome(attempt))
    return {"found": found}


@task
def brackets(way, to):
    """Which calls are bracketed by the two copies. ``way`` is ``direct`` or ``package``."""
    if way == "direct":
        import hrpyc_client

        def opened(module_name):
            return hrpyc_client.import_remote_module(port=to["port"], module_name=module_name)
    else:
        def opened(module_name):
            return hrpyc_guard.import_remote_module(module_name=module_name, **to)

    connection, hou = opened("hou")
    raw = connection.modules.hou
    connection.execute(
        "import hou\n"
        "def moveAndFail(frame, *, how='badly'):\n"
        "    hou.setFrame(frame)\n"
        "    raise ValueError('failed ' + how)\n"
        "hou.moveAndFail = moveAndFail\n")

    def counted(function):
        before = [int(count) for count in raw._syncCounts()]
        try:
            function()
            ended = "returned"
        except Exception as error:
            ended = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
        after = [int(count) for count in raw._syncCounts()]
        return [b - a for a, b in zip(before, after)] + [ended]

    node = hou.node("/obj/sphere1")
    parm = node.parm("scale")
    set_frame = hou.setFrame
    found = {
        "function": counted(lambda: hou.node("/obj")),
        "keyword": counted(lambda: hou.node(path="/obj")),
        "fetched before": counted(lambda: set_frame(5)),
        "class": counted(lambda: hou.OperationFailed("made here")),
        "raises": counted(lambda: hou.moveAndFail(30, how="loudly")),
        "wrong arguments": counted(lambda: hou.node()),
        "only fetched": counted(lambda: hou.node),
        "missing": counted(lambda: hou.noSuchThing),
        "method": counted(lambda: node.path()),
        "method of a parm": counted(lambda: parm.set(3.0)),
        "method of hipFile": counted(lambda: hou.hipFile.name()),
        "private": counted(lambda: hou._syncCounts()),
        "raw module": counted(lambda: raw.node("/obj")),
    }
    # What ran before the failure has reached the main context.
    found["frame after the failure"] = hou.frame()
    other_connection, other = opened("hou")
    hou.setFrame(77)
    found["frame elsewhere"] = other.frame()
    hou.setFrame(1)
    math_connection, math = opened("math")
    found["another module"] = counted(lambda: math.sqrt(9.0))
    found["another module's value"] = math.sqrt(9.0)
    submodule_connection, path = opened("os.path")
    found["submodule"] = counted(lambda: path.join("a", "b"))
    for each in (connection, other_connection, math_connection, submodule_connection):
        each.close()
    return found
