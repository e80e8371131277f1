"""A server, guard and agent with many busy sessions through them."""

import contextlib
import time

import harness

#: rpyc gives up a call after 30 s by itself, so whatever takes longer than this has hung.
LONGEST_CALL = 28.0

#: What scripts may see when a part of the way has died. Each says what happened; a timeout
#: or a wrong answer would not.
ERRORS = {"EOFError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
          "BrokenPipeError"}

#: How long a program may keep a thread that has nothing to do.
IDLE_THREADS = 15.0


class Busy:
    """Busy sessions, and what each part had open when all of them worked.

    ``parts`` are the running programs by name: ``server``, ``guard`` and ``agent``.
    """

    def __init__(self, machine, site, stack, sessions, *guard_options):
        self.machine = machine
        self.site = site
        self.stack = stack
        self.sessions = sessions
        self.parts = {"server": stack.enter_context(machine.server("4.1.0"))}
        upstream = "127.0.0.1:%d" % self.parts["server"].port
        self.parts["guard"] = site.start_guard(upstream, *guard_options)
        self.parts["agent"] = site.bring_in("alice")
        # What a first session opens for good is there before the counting begins.
        assert self.arrive()["value"] == 42
        site.assert_each_session_has_its_end()
        self.idle = self._held()
        self.artist = stack.enter_context(
            machine.artist("5.3.1", "stubborn", self.agent.port, count=sessions, pause=0.2)
        )
        self.until_all_work()
        self.before = self._held()

    @property
    def server(self):
        """The server as it runs now."""
        return self.parts["server"]

    @property
    def guard(self):
        """The guard as it runs now."""
        return self.parts["guard"]

    @property
    def agent(self):
        """The agent as it runs now."""
        return self.parts["agent"]

    def arriving(self):
        """A client that connects now and makes one call."""
        return self.machine.artist("5.3.1", "arriving", self.agent.port)

    def arrive(self):
        """Connects, makes one call, and gives what came of it."""
        with self.arriving() as artist:
            return artist.result()

    def restart(self, name):
        """Starts a part anew where it was."""
        if name == "server":
            server = self.machine.server("4.1.0", self.server.port)
            self.parts["server"] = self.stack.enter_context(server)
        elif name == "guard":
            self.parts["guard"] = self.site.restart_guard()
        else:
            self.parts["agent"] = self.site.connect("alice", self.agent.port)

    def until_all_work(self):
        """Waits until each session has made a call that began after this.

        Gives the errors until then and the longest call.
        """
        errors, working, slowest = [], set(), 0.0
        # The first report tells of what went before, and the second of calls begun before.
        for first in (True, True, False):
            working.clear()
            while len(working) < self.sessions:
                report = self.artist.ask("report")
                errors.extend(report["errors"])
                slowest = max(slowest, report["slowest"])
                working.update(n for n, calls in enumerate(report["calls"]) if calls)
                if first:
                    break
                time.sleep(0.1)
        assert slowest < LONGEST_CALL, slowest
        return errors, slowest

    def first_errors(self):
        """Waits until some session has noticed, and gives what it saw."""
        return harness.until("errors", lambda: self.artist.ask("report")["errors"])

    def stop(self, threads=False):
        """Ends the sessions; nothing is left of them in any part, nor open in the audit.

        With ``threads`` it waits until spare threads have ended as well, which takes 10 s.
        """
        self.artist.tell("stop")
        self.artist.result()
        self.site.assert_each_session_has_its_end()
        allowed = {name: dict(counts) for name, counts in self.idle.items()}
        if threads:
            # The guard looks at its store and at owners of ports on spare threads, by turns:
            # how many of them never come to rest depends on the moment. It is not one a session.
            allowed["guard"]["threads"] += 2
        else:
            for name in ("guard", "agent"):
                allowed[name]["threads"] = self.before[name]["threads"]
        self._until_held("idle", allowed)

    def assert_no_more_held(self):
        """No part has more open than when all sessions worked before."""
        self._until_held("busy", self.before)

    def _held(self):
        return {
            name: {"descriptors": part.descriptors(), "threads": part.threads()}
            for name, part in self.parts.items()
        }

    def _until_held(self, when, allowed):
        """Waits until no part holds more descriptors or threads than ``allowed``."""

        def excess():
            now = self._held()
            return [
                "%s has %d %s, and %s it had %d" % (name, count, kind, when, allowed[name][kind])
                for name, counts in now.items()
                for kind, count in counts.items()
                if count > allowed[name][kind]
            ]

        left = []

        def attempt():
            left[:] = excess()
            return not left

        with contextlib.suppress(AssertionError):
            harness.until("", attempt, IDLE_THREADS)
        assert not left, left
