"""Runs one module of rpyc's own tests, with the Python of an environment that has rpyc.

``rpyc_own.py`` starts it::

    python rpyc_own_module.py CHECKOUT MODULE FINDINGS [--switchboard PORT] [--as-houdini]

Each test leaves a line of JSON in FINDINGS. With the port of a switchboard, the connections that
the tests make go through agent and guard.
"""

import argparse
import json
import os
import socket
import sys
import types
import unittest

#: The connections that were sent another way so far.
REDIRECTED = []


def redirect(port):
    """Has the switchboard say where each connection goes to; TLS is left alone."""
    from rpyc.core.stream import SocketStream

    def ask(**wanted):
        with socket.create_connection(("127.0.0.1", port)) as switchboard:
            switchboard.sendall(json.dumps(wanted).encode() + b"\n")
            with switchboard.makefile() as answer:
                agent = int(answer.readline())
        REDIRECTED.append(wanted)
        return agent

    original = SocketStream.connect.__func__

    def connect(cls, host, port, **options):
        host = host.decode() if isinstance(host, bytes) else host
        options.pop("ipv6", None)
        options.pop("family", None)
        return original(cls, "127.0.0.1", ask(host=host, port=port), **options)

    def unix_connect(cls, path, timeout=3):
        return original(cls, "127.0.0.1", ask(path=path), timeout=timeout)

    SocketStream.connect = classmethod(connect)
    SocketStream.unix_connect = classmethod(unix_connect)


def serve_as_houdini():
    """Has servers in threads run the service that ``hrpyc.start_server`` runs.

    rpyc's tests choose ``ClassicService`` for both ends: a server that is a client as well.
    """
    import rpyc
    from rpyc.core.service import ClassicService, SlaveService
    from rpyc.utils import factory

    original = factory.connect_thread

    def connect_thread(service=rpyc.VoidService, config={}, remote_service=rpyc.VoidService,
                       remote_config={}):
        if remote_service is ClassicService:
            remote_service = SlaveService
        return original(service, config, remote_service, remote_config)

    factory.connect_thread = rpyc.connect_thread = connect_thread


class Findings(unittest.TestResult):
    """Writes down how each test ends, as soon as it does."""

    def __init__(self, path):
        super().__init__()
        self._file = open(path, "w", encoding="utf-8")
        self._class = None
        self._before = self._of_class = 0
        self._ended = None

    def without(self, module, reason):
        """A module says that it cannot be run here."""
        self._line(module, "skipped", str(reason), 0)

    def _write(self, test, ended, why, redirected):
        self._line(test.id(), ended, why, redirected)

    def _line(self, name, ended, why, redirected):
        line = {"test": name, "ended": ended, "why": why, "redirected": redirected}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def startTest(self, test):
        super().startTest(test)
        if type(test) is not self._class:
            # What was connected since the last test is for all of this class.
            self._class, self._of_class = type(test), len(REDIRECTED) - self._before
        self._before = len(REDIRECTED)
        self._ended = ("passed", "")
        self._write(test, "hung", "", 0)

    def stopTest(self, test):
        super().stopTest(test)
        redirected = len(REDIRECTED) - self._before + self._of_class
        self._before = len(REDIRECTED)
        self._write(test, *self._ended, redirected)
        self._ended = None

    def _note(self, test, ended, why):
        if self._ended is None:
            self._write(test, ended, why, 0)
        elif self._ended[0] == "passed":
            self._ended = (ended, why)

    def _failed(self, test, error):
        # The exception of a server has the server's traceback for its text.
        lines = [line.strip() for line in str(error[1]).splitlines() if line.strip()]
        words = [error[0].__name__, *lines[:1]]
        if len(lines) > 1:
            words += ["...", lines[-1]]
        self._note(test, "failed", " ".join(words)[:400])

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "passed", "as expected, it failed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "it was expected to fail")


def main():
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout")
    parser.add_argument("module")
    parser.add_argument("findings")
    parser.add_argument("--switchboard", type=int)
    parser.add_argument("--as-houdini", action="store_true")
    options = parser.parse_args()
    os.chdir(options.checkout)
    tests = os.path.join(options.checkout, "tests")
    sys.path[:1] = [options.checkout, tests]
    # The tests of 4.1 take one name from a test runner that runs on no newer Python.
    nose = types.ModuleType("nose")
    nose.SkipTest = unittest.SkipTest
    sys.modules["nose"] = nose
    if options.switchboard:
        redirect(options.switchboard)
    if options.as_houdini:
        serve_as_houdini()
    # The name under which the tests mean to be found, as some have their servers import them.
    package = os.path.exists(os.path.join(tests, "__init__.py"))
    name = "tests." + options.module if package else options.module
    findings = Findings(options.findings)
    try:
        unittest.defaultTestLoader.loadTestsFromName(name).run(findings)
    except unittest.SkipTest as error:
        findings.without(name, error)
    # Threads and servers that the tests left behind do not keep it.
    os._exit(0)


if __name__ == "__main__":
    main()
