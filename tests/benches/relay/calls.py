"""Says ``parm.set(2.0)`` for a while, and prints how many nanoseconds each time took.

Usage: calls.py PORT MILLISECONDS
"""

import sys
import time

import rpyc


def say(parm, end):
    """Says the line until ``end``.

    Args:
        parm: A remote parameter that holds a number.
        end: When to stop, as ``time.perf_counter_ns`` counts.

    Returns:
        A list with the nanoseconds of each time.
    """
    took = []
    begun = time.perf_counter_ns()
    while begun < end:
        parm.set(2.0)
        now = time.perf_counter_ns()
        took.append(now - begun)
        begun = now
    return took


def main():
    """Connects, says the line once for the caches, and then for the time that was asked for."""
    connection = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
    parm = connection.modules.hou.node("/obj/sphere1").parm("scale")
    parm.set(2.0)
    took = say(parm, time.perf_counter_ns() + int(sys.argv[2]) * 1000 * 1000)
    connection.close()
    print("\n".join(map(str, took)))


if __name__ == "__main__":
    main()
