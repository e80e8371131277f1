"""Children of a script."""

import gc
import json
import os
import signal
import sys
import threading
import time

import hrpyc_guard
from client_tasks import answer_of, outcome, say, task, tell, told


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
