"""Artists at work whose next step is told to them, on a connection for each port.

    python asked.py PORT...

Each line of the standard input is the number of a connection, a blank, and an expression, which
is evaluated with that connection's ``conn`` and ``hou``, with ``os``, and with what
``keep(name, value)`` has kept. In return a JSON object is printed: the value if it is a plain one, else its class, or the
exception that came instead, with the class of Python's own by which it can be caught.
"""

import builtins
import json
import os
import sys

import rpyc


def caught_as(error):
    """The name of the class of Python's own by which a script can catch an exception."""
    own = (base for base in type(error).__mro__ if getattr(builtins, base.__name__, None) is base)
    return next(own).__name__


def answer(expression, names):
    """What comes of an expression, as it is printed."""
    try:
        value = eval(expression, names)
        # Nothing is asked of an object: what would be, is no part of the step.
        plain = type(value) in (type(None), bool, int, float, str)
        return {"value": value} if plain else {"object": type(value).__name__}
    except Exception as error:
        # Below the message rpyc adds the remote traceback.
        return {
            "caught": caught_as(error),
            "message": str(error).split("\n\n====")[0],
        }


def connected(port):
    """The names of a connection."""
    conn = rpyc.classic.connect("127.0.0.1", port)
    names = {"conn": conn, "hou": conn.modules.hou, "os": os}

    def keep(name, value):
        names[name] = value

    names["keep"] = keep
    return names


def main():
    """Connects, and does as it is told."""
    everyone = [connected(int(port)) for port in sys.argv[1:]]
    print(json.dumps({"ready": len(everyone)}))
    sys.stdout.flush()
    for line in sys.stdin:
        number, expression = line.split(None, 1)
        print(json.dumps(answer(expression.strip(), everyone[int(number)])))
        sys.stdout.flush()
    for names in everyone:
        names["conn"].close()


if __name__ == "__main__":
    main()
