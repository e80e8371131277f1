"""The server that Houdini starts, and how functions are called."""

import sys
import threading
import time

import rpyc

import hrpyc_guard
from client_tasks import listening, outcome, say, task


@task
def serves(scene=None, args=(), kwargs=None):
    """Starts the server as Houdini would, and does what it is told to, line by line."""
    if scene is not None:
        sys.path.insert(0, scene)
    kwargs = kwargs or {}
    port = hrpyc_guard.start_server(*args, **kwargs)
    say(port=port, listening=listening())
    for line in sys.stdin:
        word = line.split()
        if word[0] == "stop":
            say(stopped=outcome(hrpyc_guard.stop_server))
        elif word[0] == "start":
            say(started=outcome(hrpyc_guard.start_server, int(word[1])))
        elif word[0] == "look":
            say(look=listening(), threads=[
                [thread.name, thread.daemon] for thread in threading.enumerate()])
        else:
            break
    return {"leaving": time.monotonic()}


@task
def serves_in_this_thread(port):
    """``use_thread=False`` does not come back."""
    say(starting=True)
    hrpyc_guard.start_server(port, False)
    return {"came": "back"}


@task
def server_signature():
    """How the server's functions may be called."""
    import inspect

    parameters = inspect.signature(hrpyc_guard.start_server).parameters.values()
    return {
        "start": [[p.name, p.kind.name, p.default] for p in parameters],
        "stop": len(inspect.signature(hrpyc_guard.stop_server).parameters),
    }


@task
def signatures():
    """How the functions of the client may be called."""
    import inspect

    found = {}
    for name in ("import_remote_module", "connect"):
        parameters = inspect.signature(getattr(hrpyc_guard, name)).parameters.values()
        found[name] = [[p.name, p.kind.name, p.default] for p in parameters]
    return found


@task
def without_native():
    """What works of a copy whose native part cannot be loaded."""
    port = hrpyc_guard.start_server(0)
    connection = rpyc.classic.connect("127.0.0.1", port)
    value = connection.eval("40 + 2")
    connection.close()
    hrpyc_guard.stop_server()
    return {"server": value, "import": outcome(lambda: hrpyc_guard.import_remote_module()),
            "connect": outcome(lambda: hrpyc_guard.connect())}
