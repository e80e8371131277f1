"""Threads and signals."""

import gc
import os
import signal
import sys
import threading
import time

import rpyc

import hrpyc_guard
from client_tasks import SLOW, answer_of, listening, os_threads, outcome, say, task, told


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


def unless_interrupted(unraisable):
    """Complains as Python does, but not of an interrupt that came while a destructor of rpyc's
    ran, where Python has nobody to raise it in."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)


@task
def interrupted_many_times(to, count):
    """Interrupts at any moment of many connects; what comes is an answer or the interrupt."""
    sys.unraisablehook = unless_interrupted
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
