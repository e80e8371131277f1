"""Calls much in the scene ``traced``, from several threads, and holds and drops many objects.

Run with the Python of an environment that has rpyc::

    python tracing.py PORT walk NAME THREADS CALLS
    python tracing.py PORT taken

Each thread makes that many calls or a few more. NAME is a letter; a number among the
arguments is in no other call, not even in one of a script with another letter. The second prints what the scene has written down.
"""

import itertools
import json
import random
import sys
import threading
import time

import rpyc

#: How many objects a thread holds.
HELD = 60


class Walker:
    """One thread's way through the scene."""

    def __init__(self, traced, name, seed, numbers):
        self.traced = traced
        self.name = name
        self.random = random.Random(seed)
        self.numbers = numbers
        self.calls = 0
        #: Objects, and how many calls it took to get there.
        self.nodes, self.parms = [], []

    def hold(self, held, thing, depth):
        """Takes the place of another one, which is let go of."""
        if len(held) < HELD:
            held.append((thing, depth))
        else:
            held[self.random.randrange(HELD)] = (thing, depth)

    def node(self, deepest=9):
        """One of those that are held, or a new one."""
        if self.nodes and self.random.random() < 0.8:
            found = self.random.choice(self.nodes)
            if found[1] <= deepest:
                return found
        self.calls += 1
        made = self.traced.node("/obj/%s%d" % (self.name, self.random.randrange(500)))
        self.hold(self.nodes, made, 1)
        return made, 1

    def step(self):
        """One or two calls."""
        number = next(self.numbers)
        self.calls += 1
        steps = [self.sets, self.evals, self.goes_down, self.goes_to_parm, self.lists, self.links,
                 self.fails, self.reads, self.operates, self.goes_up, self.repeats, self.creates]
        if number % 211 == 0:
            node, _ = self.node()
            node.cooks(number, 0.02)
        elif number % 97 == 0:
            node, _ = self.node(deepest=2)
            assert node.tells(number, lambda got, same: got * 2) == number * 2
        else:
            self.random.choice(steps)(number)

    def parm(self):
        """One that is held, or a new one."""
        if self.parms and self.random.random() < 0.7:
            return self.random.choice(self.parms)
        self.calls += 1
        self.goes_to_parm(None)
        return self.parms[-1] if len(self.parms) < HELD else self.random.choice(self.parms)

    def sets(self, number):
        """A value, with arguments of all kinds."""
        parm, _ = self.parm()
        kind = number % 5
        if kind == 0:
            parm.set(number + 0.5)
        elif kind == 1:
            parm.set("it's \"%d\"\n" % number, None, True)
        elif kind == 2:
            parm.set((number, ("a", -1.25)), unit="ä€")
        elif kind == 3:
            parm.set(number, when=number, follow=False)
        else:
            parm.set(number)

    def evals(self, number):
        """A value back."""
        self.parm()[0].eval(number)

    def goes_down(self, _):
        """To a node below."""
        node, depth = self.node(deepest=3)
        name = "n%d" % self.random.randrange(50)
        self.hold(self.nodes, node.node(name), depth + 1)

    def goes_to_parm(self, _):
        """To a parameter."""
        node, depth = self.node(deepest=4)
        self.hold(self.parms, node.parm(self.random.choice(["tx", "ty", "scale"])), depth + 1)

    def lists(self, _):
        """To nodes that come together."""
        node, depth = self.node(deepest=3)
        below = node.children()
        self.hold(self.nodes, below[self.random.choice([0, 2, 3])], depth + 1)

    def links(self, number):
        """Objects are arguments; with names that are short enough to be shown whole."""
        node, _ = self.node()
        other, _ = self.node(deepest=2)
        self.calls += 1
        node.setInput(number, other, (self.node(deepest=1)[0].parm("tx"), number))

    def fails(self, number):
        """An exception comes back."""
        node, _ = self.node()
        try:
            node.fails(self.random.choice(["value", "key", "own"]), number)
        except Exception:
            return
        raise AssertionError("no exception")

    def reads(self, _):
        """A property is read."""
        assert self.node()[0].label == "label"

    def operates(self, number):
        """Python's own functions and operators."""
        node, depth = self.node(deepest=4)
        if number % 3 == 0:
            assert len(node) == 3
        elif number % 3 == 1:
            assert "tx%d" % number in node
        else:
            self.hold(self.parms, node["ry"], depth + 1)

    def goes_up(self, _):
        """From a parameter to its node."""
        parm, depth = self.parm()
        if depth > 4:
            self.calls -= 1
        else:
            self.hold(self.nodes, parm.node(), depth + 1)

    def repeats(self, _):
        """The same object comes again."""
        node, _ = self.node()
        assert node.same() is node

    def creates(self, _):
        """By keyword."""
        node, depth = self.node(deepest=3)
        name = "made%d" % self.random.randrange(50)
        self.hold(self.nodes, node.createNode("geo", node_name=name), depth + 1)


def walk(conn, name, threads, calls):
    """Walks in threads."""
    traced, wrong = conn.modules.traced, []
    numbers = itertools.count(1 + 1000000 * (ord(name) - ord("a")))
    walkers = [Walker(traced, name, seed, numbers) for seed in range(threads)]

    def work(walker):
        try:
            while walker.calls < calls:
                walker.step()
        except Exception as error:
            wrong.append(repr(error))

    running = [threading.Thread(target=work, args=(walker,)) for walker in walkers]
    for thread in running:
        thread.start()
    # A thread of rpyc whose answer another one has taken can wait for the next message, up to
    # 30 seconds: there is always a next one.
    while any(thread.is_alive() for thread in running):
        conn.ping()
        time.sleep(0.02)
    return {"wrong": wrong, "calls": sum(walker.calls for walker in walkers)}


def main():
    """Does what the command line says."""
    conn = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
    if sys.argv[2] == "walk":
        found = json.dumps(walk(conn, sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
    else:
        found = conn.modules.traced._taken()
    conn.close()
    sys.stdout.write(found + "\n")


if __name__ == "__main__":
    main()
