"""What scripts do with the installed package, one task a run.

    python client.py TASK [ARGUMENTS in JSON]

Each task prints JSON, one object a line; the last line is its result. ``to`` among the
arguments holds the keyword arguments for ``connect``.
"""

import copy
import gc
import importlib
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback

import rpyc

import hrpyc_guard

TASKS = {}

#: How long Houdini is busy after a script has ended, in seconds. Its session lasts as long.
BUSY = 6

#: What a call over there that takes long looks like.
SLOW = "lambda begun, seconds: (begun(), __import__('time').sleep(seconds), 'slept')[2]"


def task(function):
    """Makes a function callable by its name from the command line."""
    TASKS[function.__name__] = function
    return function


def say(**values):
    """Prints one JSON object."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def told(error):
    """An exception of the package, or another, as JSON."""
    return {
        "class": type(error).__name__,
        "module": type(error).__module__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "sentence": getattr(error, "sentence", None),
        "hint": getattr(error, "hint", None),
        "code": getattr(error, "code", None),
        "text": str(error),
        "trace": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
        "monotonic": time.monotonic(),
    }


def outcome(function, *args, **kwargs):
    """What a call gives or raises, and how long it took."""
    began = time.monotonic()
    try:
        found = {"value": function(*args, **kwargs)}
    except Exception as error:
        found = {"error": told(error)}
    return dict(found, seconds=time.monotonic() - began)


def answer_of(to):
    """Opens a connection, asks something, closes."""
    connection = hrpyc_guard.connect(**to)
    value = connection.eval("40 + 2")
    connection.close()
    return value


def tell():
    """Waits for a line of the test."""
    return sys.stdin.readline().strip()


def open_descriptors():
    """What this process has open."""
    return len(os.listdir("/proc/self/fd"))


def os_threads():
    """Threads of this process, those of native code too."""
    return len(os.listdir("/proc/self/task"))


def resident():
    """Resident memory in KiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def listening():
    """Sockets of this process that take connections, of any kind."""
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink("/proc/self/fd/" + number))
        except FileNotFoundError:
            pass
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "unix"):
        with open("/proc/self/net/" + table) as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if table == "unix":
                    takes, inode = int(words[3], 16) & 0x10000, words[6]
                elif table.startswith("tcp"):
                    takes, inode = words[3] == "0A", words[9]
                else:
                    takes, inode = True, words[9]
                if takes and "socket:[%s]" % inode in own:
                    found.append([table, words])
    return found


# --- Where the package is, and which server is meant ---------------------------------------


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


# --- Errors --------------------------------------------------------------------------------


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


# --- Threads, signals ----------------------------------------------------------------------


@task
def shared(to, count):
    """Many threads over one connection; each gets its own answers."""
    connection = hrpyc_guard.connect(**to)
    double = connection.eval("lambda value: value * 2")
    start = threading.Barrier(count)
    wrong = []

    def work(number):
        try:
            start.wait(60)
            for turn in range(5):
                if double(number * 10 + turn) != (number * 10 + turn) * 2:
                    wrong.append("%d got another's answer" % number)
        except Exception as error:
            wrong.append(told(error))

    run_all(work, count)
    connection.close()
    return {"wrong": wrong}


@task
def many(to, count):
    """Many connections, all open at once; each works."""
    all_open = threading.Barrier(count)
    wrong = []

    def work(number):
        try:
            connection = hrpyc_guard.connect(**dict(to, timeout=60))
            square = connection.eval("lambda value: value * value")
            all_open.wait(120)
            if square(number) != number * number:
                wrong.append("%d got another's answer" % number)
            connection.close()
        except Exception as error:
            all_open.abort()
            wrong.append(told(error))

    before = os_threads()
    run_all(work, count)
    return {"wrong": wrong, "threads": os_threads() - before, "listening": listening()}


def run_all(work, count):
    """Runs ``work(number)`` in ``count`` threads and waits for all."""
    running = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


@task
def counting(to):
    """Counts in another thread while this one tries to connect."""
    over = threading.Event()
    gaps = []

    def count():
        last = time.monotonic()
        while not over.is_set():
            time.sleep(0.005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    counter = threading.Thread(target=count)
    counter.start()
    try:
        found = outcome(answer_of, to)
    finally:
        over.set()
        counter.join()
    return {"found": found, "ticks": len(gaps), "longest": max(gaps)}


@task
def counting_calls(to):
    """The same while this thread waits for an answer."""
    connection = hrpyc_guard.connect(**to)
    slow = connection.eval("__import__('time').sleep")
    ticks = []
    over = threading.Event()

    def count():
        while not over.wait(0.005):
            ticks.append(time.monotonic())

    counter = threading.Thread(target=count)
    counter.start()
    slow(1.0)
    over.set()
    counter.join()
    connection.close()
    return {"ticks": len(ticks)}


@task
def paced(way, to, count):
    """How long calls of a method take, in seconds, sorted."""
    if way == "direct":
        connection = rpyc.classic.connect("127.0.0.1", to["port"])
    else:
        connection = hrpyc_guard.connect(**to)
    node = connection.modules.hou.node("/obj/sphere1")
    taken = []
    for _ in range(count):
        began = time.monotonic()
        node.path()
        taken.append(time.monotonic() - began)
    connection.close()
    return {"taken": sorted(taken)}


@task
def interrupted_connecting(to):
    """Says when it begins to connect, and what an interrupt made of it."""
    say(ready=True)
    return interrupted(lambda: hrpyc_guard.connect(**to))


@task
def interrupted_waiting(to, seconds):
    """The same for a call; the connection is used again afterwards."""
    connection = hrpyc_guard.connect(**to)
    slow = connection.eval(SLOW)
    found = interrupted(lambda: slow(lambda: say(ready=True), seconds))
    found["after"] = outcome(connection.eval, "40 + 2")
    connection.close()
    return found


def interrupted(function):
    """What ended a call, and when."""
    try:
        function()
        return {"class": None}
    except KeyboardInterrupt:
        return {"class": "KeyboardInterrupt", "monotonic": time.monotonic()}
    except Exception as error:
        return told(error)


@task
def interrupted_many_times(to, count):
    """Interrupts at any moment of many connects; what comes is an answer or the interrupt."""
    seen = {"answers": 0, "interrupts": 0, "errors": []}
    for number in range(count):
        timer = threading.Timer(0.001 * (number % 40), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            answer_of(to)
            seen["answers"] += 1
            timer.join()
            time.sleep(0.01)
        except KeyboardInterrupt:
            seen["interrupts"] += 1
        except Exception as error:
            seen["errors"].append(told(error))
            try:
                timer.join()
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
    gc.collect()
    return dict(seen, answer=answer_of(to))


# --- Processes -----------------------------------------------------------------------------


def fork(child):
    """Runs ``child`` in a forked process; gives its id and a file to read its words from."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as words:
            json.dump(child(), words)
        gc.collect()
        # As a script ends: everything is torn down, and what is left is closed.
        sys.exit(0)
    os.close(writing)
    return pid, os.fdopen(reading)


def reap(pid, limit=30.0):
    """Waits for a child; gives its exit code, or None after killing it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


@task
def forks(to):
    """A child tries its parent's connection, opens its own, and ends as scripts end."""
    connection, hou = hrpyc_guard.import_remote_module(**to)
    node = hou.node("/obj/sphere1")

    def child():
        return {
            "connection": outcome(connection.eval, "1"),
            "node": outcome(lambda: node.path()),
            "module": outcome(lambda: hou.node("/obj").path()),
            "close": outcome(connection.close),
            "own": outcome(answer_of, to),
        }

    pid, words = fork(child)
    code = reap(pid)
    found = {"code": code, "child": json.loads(words.read() or "null")}
    found["parent"] = outcome(connection.eval, "40 + 2")
    found["node"] = outcome(lambda: node.path())
    say(forked=found)
    tell()
    connection.close()
    return {"new": answer_of(to)}


@task
def forks_twice(to):
    """A grandchild; each generation has its own connection and none disturbs another's."""
    connection = hrpyc_guard.connect(**to)

    def child():
        own = hrpyc_guard.connect(**to)

        def grandchild():
            return {"first": outcome(connection.eval, "1"), "second": outcome(own.eval, "1"),
                    "own": outcome(answer_of, to)}

        pid, words = fork(grandchild)
        found = {"code": reap(pid), "grandchild": json.loads(words.read() or "null")}
        found["own"] = outcome(own.eval, "40 + 2")
        return found

    pid, words = fork(child)
    found = {"code": reap(pid), "child": json.loads(words.read() or "null")}
    found["parent"] = outcome(connection.eval, "40 + 2")
    connection.close()
    return found


@task
def forks_unconnected(to):
    """The module is imported, used and closed; nothing is open when it forks."""
    assert answer_of(to) == 42
    pid, words = fork(lambda: outcome(answer_of, to))
    found = {"code": reap(pid), "child": json.loads(words.read() or "null")}
    found["parent"] = outcome(answer_of, to)
    return found


@task
def forks_among_threads(to, threads, count):
    """Forks while threads connect all the time; no child and no thread may hang."""
    over = threading.Event()
    errors = []
    made = [0] * threads
    to = dict(to, timeout=30)

    def keep_connecting(number):
        while not over.is_set():
            try:
                assert answer_of(to) == 42
                made[number] += 1
            except Exception as error:
                errors.append(told(error))
                return

    running = [threading.Thread(target=keep_connecting, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    while not all(made) and not errors:
        time.sleep(0.005)
    children = []
    for _ in range(count):
        pid, words = fork(lambda: outcome(answer_of, to))
        code = reap(pid)
        children.append([code, json.loads(words.read() or "null") if code == 0 else None])
    before = list(made)
    end = time.monotonic() + 30
    while not errors and time.monotonic() < end and not all(
            after > count for after, count in zip(made, before)):
        time.sleep(0.005)
    over.set()
    for thread in running:
        thread.join(30)
    return {"children": children, "errors": errors, "made": made, "before": before,
            "hanging": sum(thread.is_alive() for thread in running)}


def pool_work(to_and_number):
    """One job of a pool: a connection of its own."""
    to, number = to_and_number
    connection = hrpyc_guard.connect(**to)
    value = connection.eval("lambda value: value * value")(number)
    pid = os.getpid()
    connection.close()
    return [pid, value]


def pool_refused(to):
    """A job that raises the package's exception, which travels back pickled."""
    hrpyc_guard.connect(**to)


@task
def pool(to, method, jobs):
    """A pool of processes that is started in the given way, beside an open connection."""
    import multiprocessing

    context = multiprocessing.get_context(method)
    connection = hrpyc_guard.connect(**to)
    assert connection.eval("1") == 1
    with context.Pool(3) as workers:
        found = workers.map_async(pool_work, [(to, number) for number in range(jobs)]).get(60)
        refused = outcome(
            workers.apply_async(pool_refused, (dict(to, server="no-such-guard"),)).get, 60)
        workers.close()
        workers.join()
    parent = connection.eval("40 + 2")
    connection.close()
    return {
        "values": [value for _, value in found],
        "others": os.getpid() not in [pid for pid, _ in found],
        "parent": parent,
        "refused": refused,
    }


@task
def leaves(to, store=False):
    """Ends with open connections, as most scripts do."""
    global kept
    connection, hou = hrpyc_guard.import_remote_module(**to)
    kept = [connection, hou, hrpyc_guard.connect(**to)]
    if store:
        connection.execute("import hou\ndef keep(data):\n    hou.kept = len(data)")
        rpyc.async_(connection.namespace["keep"])(os.urandom(store))
    return {"leaving": time.monotonic()}


@task
def leaves_while_busy(to, interrupt):
    """Ends while Houdini works on its call, of its own will or by Ctrl-C."""
    connection = hrpyc_guard.connect(**to)
    connection._config["sync_request_timeout"] = None
    slow = connection.eval(SLOW)
    begun = threading.Event()

    def interrupt_soon():
        begun.wait(60)
        time.sleep(0.1)
        say(leaving=time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    if interrupt:
        threading.Thread(target=interrupt_soon).start()
        slow(begun.set, BUSY)
    pending = rpyc.async_(slow)(begun.set, BUSY)
    while not begun.is_set():
        connection.serve(0.1)
    assert not pending.ready
    return {"leaving": time.monotonic()}


@task
def leaves_with_daemons(to):
    """Ends while daemon threads wait, call and connect."""
    connection = hrpyc_guard.connect(**to)
    connection._config["sync_request_timeout"] = None
    slow = connection.eval(SLOW)
    begun = threading.Barrier(4)
    errors = []

    def quietly(function):
        # A daemon thread that prints while the interpreter ends would be its own undoing.
        try:
            function()
        except Exception as error:
            errors.append(told(error))

    def calling():
        own = hrpyc_guard.connect(**to)
        begun.wait()
        while True:
            own.eval("1")

    def connecting():
        begun.wait()
        while True:
            answer_of(to)

    for work in (lambda: slow(begun.wait, BUSY), calling, connecting):
        threading.Thread(target=quietly, args=(work,), daemon=True).start()
    begun.wait(60)
    time.sleep(0.1)
    return {"leaving": time.monotonic(), "errors": errors}


@task
def leaves_by_error(to):
    """Ends with an exception that nobody catches."""
    connection = hrpyc_guard.connect(**to)
    say(leaving=time.monotonic())
    connection.execute("raise ValueError('of the script')")


@task
def drops(to):
    """Drops its connections in each of the usual ways and says so; lives on."""
    connection = hrpyc_guard.connect(**to)
    assert connection.eval("1") == 1
    del connection
    gc.collect()
    say(dropped="connection")
    tell()
    connection, hou = hrpyc_guard.import_remote_module(**to)
    node = hou.node("/obj/sphere1")
    assert node.path()
    del connection, hou, node
    gc.collect()
    say(dropped="module")
    tell()

    def inside():
        connection, hou = hrpyc_guard.import_remote_module(**to)
        return hou.node("/obj/sphere1").path()

    inside()
    gc.collect()
    say(dropped="function")
    tell()
    return {"descriptors": open_descriptors(), "threads": os_threads()}


@task
def again_and_again(to, count):
    """Connects and closes; what this process holds is looked at on the way."""
    seen = []
    look_at = {count // 5, count}
    for number in range(1, count + 1):
        connection = hrpyc_guard.connect(**to)
        if number % 2:
            connection.close()
        del connection
        if number in look_at:
            gc.collect()
            # What was dropped ends by itself, soon.
            end = time.monotonic() + 10
            while seen and open_descriptors() > seen[0][0] and time.monotonic() < end:
                time.sleep(0.01)
            seen.append([open_descriptors(), os_threads(), resident()])
    return {"seen": seen, "listening": listening()}


@task
def again_and_again_refused(to, count):
    """The same for connections that are refused."""
    seen = []
    for number in range(count):
        try:
            hrpyc_guard.connect(**to)
        except hrpyc_guard.GuardError:
            pass
        if number + 1 in (count // 2, count):
            gc.collect()
            seen.append([open_descriptors(), os_threads()])
    return {"seen": seen}


# --- The server ----------------------------------------------------------------------------


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


def main():
    """Runs the task that the command line names."""
    name = sys.argv[1]
    arguments = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    say(**TASKS[name](**arguments))


if __name__ == "__main__":
    main()
