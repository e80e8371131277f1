"""How scripts end, and what is left of connections that do."""

import __main__
import gc
import os
import signal
import threading
import time

import rpyc

import hrpyc_guard
from client_tasks import (
    BUSY, SLOW, answer_of, listening, open_descriptors, os_threads, resident, say, task, tell,
    told,
)


@task
def leaves(to, store=False):
    """Ends with open connections, as most scripts do."""
    connection, hou = hrpyc_guard.import_remote_module(**to)
    # As a global of the script, torn down with it.
    __main__.kept = [connection, hou, hrpyc_guard.connect(**to)]
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
