"""Hands a function to a tool in Houdini, as scripts do. This tool wants more than to call it.

Usage: python handed.py PORT FOLDER

``hostile/hostile.py`` is the tool. Each of its attacks wants to make a file in FOLDER, by Python
that runs here and not in Houdini.
"""

import os
import sys

import rpyc

#: Attacks, and the way that each takes.
WAYS = [
    ("globals_of_a_callback", "done.__globals__['__builtins__']['eval'](...)"),
    ("frame_of_a_generator", "numbers.gi_frame.f_builtins['eval'](...)"),
    ("evaluate", "the script's own service, and its eval(...)"),
]


def done(value=None):
    """What the tool is to call."""
    return value


class Preset(object):
    """Something else that the tool is given."""


conn = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
tool = conn.modules.hostile
for name, way in WAYS:
    path = os.path.join(sys.argv[2], name)
    numbers = (number for number in range(5))
    next(numbers)
    came, *words = tool.attack(name, path, done, Preset(), [1, 2], numbers, Preset)
    print("%-48s %s" % (way, "RAN" if os.path.exists(path) else came))
    if came == "refused":
        # Below the message rpyc adds the remote traceback.
        print("    %s" % words[1].split("\n\n====")[0])
print("files made here: %s" % (", ".join(sorted(os.listdir(sys.argv[2]))) or "none"))
print("and called as it should be, done(7) gives %s" % tool.plain(done, 7))
