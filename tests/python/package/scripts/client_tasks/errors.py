"""What a script is told, and what it can do about it."""

import copy
import gc
import importlib
import pickle
import sys
import threading
import time

import rpyc

import hrpyc_guard
from client_tasks import SLOW, answer_of, outcome, say, task, tell, told


@task
def refusals(attempts):
    """What each attempt to connect raises, and whether the exception survives copying."""
    found = []
    for to in attempts:
        began = time.monotonic()
        try:
            hrpyc_guard.connect(**to).close()
            found.append({"class": None})
        except Exception as error:
            seconds = time.monotonic() - began
            found.append(dict(told(error), seconds=seconds, copies=copies(error)))
    return {"found": found}


def copies(error):
    """How an exception looks after it was pickled in each protocol, and after copying."""
    made = [pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    made += [copy.copy(error), copy.deepcopy(error)]
    return [
        type(each) is type(error) and [each.sentence, each.hint, each.code, str(each), each.args]
        == [error.sentence, error.hint, error.code, str(error), error.args]
        for each in made
    ]


@task
def catches(to):
    """Which ``except`` clauses catch what ``connect`` raises here."""
    classes = {
        "GuardError": hrpyc_guard.GuardError, "ProfileError": hrpyc_guard.ProfileError,
        "AccessDenied": hrpyc_guard.AccessDenied, "Unavailable": hrpyc_guard.Unavailable,
        "SessionLost": hrpyc_guard.SessionLost, "SessionDenied": hrpyc_guard.SessionDenied,
        "LookupError": LookupError, "PermissionError": PermissionError,
        "ConnectionError": ConnectionError, "EOFError": EOFError, "OSError": OSError,
    }
    try:
        hrpyc_guard.connect(**to)
    except Exception as error:
        return {"caught": sorted(name for name, cls in classes.items() if isinstance(error, cls))}
    return {"caught": []}


@task
def hierarchy():
    """Who is a subclass of whom."""
    names = ["GuardError", "ProfileError", "AccessDenied", "Unavailable", "SessionLost",
             "SessionDenied"]
    builtin = [LookupError, PermissionError, ConnectionError, EOFError]
    found = {}
    for name in names:
        cls = getattr(hrpyc_guard, name)
        others = [getattr(hrpyc_guard, other) for other in names if other != name] + builtin
        found[name] = sorted(other.__name__ for other in others if issubclass(cls, other))
        assert cls.__module__.split(".")[0] == "hrpyc_guard", cls.__module__
    return found


@task
def waiting(to, threads=1, seconds=600):
    """Threads that wait for a call each; says what ends them, and the calls after it."""
    connections = [hrpyc_guard.connect(**to) for _ in range(threads)]
    begun = threading.Barrier(threads + 1)
    found = [None] * threads

    def work(number):
        connection = connections[number]
        connection._config["sync_request_timeout"] = None
        slow = connection.eval(SLOW)
        first = outcome(slow, begun.wait, seconds)
        found[number] = [first, outcome(connection.eval, "1"), outcome(connection.eval, "1")]

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    begun.wait(60)
    say(ready=True)
    for thread in running:
        thread.join()
    return {"found": found}


@task
def waiting_together(to, threads):
    """Threads that share one connection and all wait when it ends."""
    connection = hrpyc_guard.connect(**to)
    connection._config["sync_request_timeout"] = None
    connection.execute("import threading\nnever = threading.Event()")
    slow = connection.eval(SLOW)
    quick = connection.eval("lambda: None")
    begun = threading.Event()
    found = [None] * threads

    def work(number):
        # The server serves the first; the others wait for their turn behind it.
        if number == 0:
            found[0] = outcome(slow, begun.set, 600)
        else:
            begun.wait(60)
            found[number] = outcome(quick)

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    begun.wait(60)
    time.sleep(0.5)
    say(ready=True)
    for thread in running:
        thread.join()
    return {"found": found}


@task
def idle(to):
    """Says nothing until told so; then makes calls, of the connection and of objects."""
    connection, hou = hrpyc_guard.import_remote_module(**to)
    node = hou.node("/obj/sphere1")
    path = node.path
    say(ready=path())
    tell()
    calls = {
        "first": lambda: connection.eval("1"),
        "second": lambda: connection.eval("1"),
        "object": lambda: node.path(),
        "method": path,
        "module": lambda: hou.node("/obj").path(),
        "new": lambda: answer_of(to),
    }
    found = {name: outcome(call) for name, call in calls.items()}
    return {"found": found, "close": outcome(connection.close)}


@task
def comes_back(to):
    """A script that works, is told so, and opens a new session after the loss of one."""
    connection, hou = hrpyc_guard.import_remote_module(**to)
    say(ready=hou.node("/obj/sphere1").path())
    tell()
    say(lost=outcome(lambda: hou.node("/obj/sphere1").path()))
    tell()

    def again():
        connection, hou = hrpyc_guard.import_remote_module(**to)
        path = hou.node("/obj/sphere1").path()
        connection.close()
        return path

    found = {"again": outcome(again), "old": outcome(lambda: hou.node("/obj").path())}
    connection.close()
    return found


@task
def missing_module(to, name):
    """A module that is not there at the far end."""
    missing = outcome(hrpyc_guard.import_remote_module, module_name=name, **to)
    gc.collect()
    say(missing=missing)
    tell()
    return {"answer": answer_of(to)}


@task
def missing_module_directly(port, name):
    """The same with plain rpyc."""
    connection = rpyc.classic.connect("127.0.0.1", port)
    missing = outcome(lambda: connection.modules[name])
    connection.close()
    return missing


@task
def reloads(to):
    """Loads the package anew in mid-script, as artists do in an editor."""
    before = hrpyc_guard.connect(**to)
    older = hrpyc_guard.GuardError
    importlib.reload(hrpyc_guard)
    found = {"old": outcome(before.eval, "40 + 2"), "new": outcome(answer_of, to)}
    try:
        hrpyc_guard.connect(config_dir="/nonexistent")
    except hrpyc_guard.ProfileError as error:
        found["caught"] = "the new class"
        found["is_guard_error"] = isinstance(error, hrpyc_guard.GuardError)
        found["is_older_guard_error"] = isinstance(error, older)
    except LookupError:
        found["caught"] = "another class"
    for name in [name for name in sys.modules if name.split(".")[0] == "hrpyc_guard"]:
        del sys.modules[name]
    again = importlib.import_module("hrpyc_guard")

    def once_more():
        connection = again.connect(**to)
        value = connection.eval("40 + 2")
        connection.close()
        return value

    found["imported anew"] = outcome(once_more)
    found["old after that"] = outcome(before.eval, "40 + 2")
    before.close()
    return found
