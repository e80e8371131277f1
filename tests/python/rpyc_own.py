"""Runs rpyc's own tests without a guard and through one, and shows what differs.

By hand, with a checkout of rpyc's repository at the version of an environment under --venvs
(``cargo verify python`` makes them), and best in a network of its own, for some of the tests
speak to everyone on it and others to fixed ports::

    unshare --user --map-current-user --net sh -c 'ip link set lo up && \\
        python tests/python/rpyc_own.py 4.1.0 CHECKOUT'

Each test runs with nothing in between, with reverse calls opened at both ends, with the rules
that hold unless told otherwise, and with these and a server as Houdini's. What connects over TLS
or pipes, or not at all, is the same each time. It ends with 1 when a test differs and docs/rpyc.md
does not say why it would.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

import harness
import switchboard

#: Longest time for the tests of one module, in seconds. Calls that are never answered take 30.
LONGEST = 300.0

#: What lies between a test and its server: the role, the profile, and whether servers in threads
#: run the service that Houdini's does.
WAYS = {
    "direct": (None, None, False),
    "open": ("opened", "open", False),
    "guarded": ("full", "guarded", False),
    "guarded, as Houdini": ("full", "guarded", True),
}

POLICY = """
[role.opened]
extends = "full"
inspect = "audit"
reverse_calls = "open"
"""

#: What docs/rpyc.md says of the rules that hold unless told otherwise, as the scripts are told.
DOCUMENTED = (
    "asks for the script's own Python before it serves the script",
    "did not pass this on to the script: it asks for a pickle",
    "did not pass this on to the script: it changes an attribute",
    "did not pass this on to the script: it asks for a private name",
    "did not pass this on to the script: it goes on from an attribute to another",
    "did not pass this on to the script: it asks for the service of the script's own Python",
)

#: A server somewhere else, or a program that they need, is not there.
LEFT_OUT = {"test_ssh", "test_deploy", "test_gdb"}


class Finding(dict):
    """How a test ended."""

    def __str__(self):
        return "%(ended)s: %(why)s" % self if self["why"] else self["ended"]


def main():
    """Runs all, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    parser.add_argument("checkout", type=pathlib.Path)
    built = harness.HERE.parent.parent / "target"
    parser.add_argument("--programs", type=pathlib.Path, default=built / "debug")
    parser.add_argument("--venvs", type=pathlib.Path, default=built / "venvs")
    parser.add_argument("--only", help="one module, such as test_magic")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    modules = sorted(path.stem for path in checkout.glob("tests/test_*.py"))
    modules = [m for m in modules if m not in LEFT_OUT and options.only in (None, m)]
    assert modules, "no tests in %s/tests" % checkout
    machine = harness.Machine(options.programs.resolve(), options.venvs.resolve())
    found = {}
    for way, (role, reverse_calls, as_houdini) in WAYS.items():
        print("%s:" % way, flush=True)
        with contextlib.ExitStack() as stack:
            board = role and Through(machine, options.version, role, reverse_calls)
            more = ["--as-houdini"] if as_houdini else []
            if board:
                stack.enter_context(board)
                more += ["--switchboard", board.port]
            found[way] = {}
            for module in modules:
                here = run(machine.python(options.version), checkout, module, more)
                print("  %s %s" % (module, counted(here)), flush=True)
                found[way].update(here)
            if board:
                board.compare_with_audit()
    sys.exit(show(options.version, found))


class Through(switchboard.Switchboard):
    """A guard, an agent, and the switchboard behind them."""

    def __init__(self, machine, version, role, reverse_calls):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(machine.server(version))
            super().__init__(("127.0.0.1", server.port))
            stack.callback(super().__exit__)
            self._site = stack.enter_context(harness.Site(machine))
            policy = self._site.folder / "policy.toml"
            policy.write_text(POLICY, encoding="utf-8")
            ports = self.ports
            upstream = "127.0.0.1:%d-%d" % (ports[0], ports[-1])
            self._site.start_guard(upstream, "--policy", policy)
            self._site.join("alice", role=role, reverse_calls=reverse_calls)
            of_agent = self._site.connect_to("alice", [str(port) for port in ports])
            self.agents = [of_agent[str(port)] for port in ports]
            self._stack = stack.pop_all()

    def __exit__(self, *_):
        self._stack.close()

    def compare_with_audit(self):
        """Each connection that a server got was a session of the guard. Says how those ended."""
        self._site.guard.terminate()
        self._site.assert_each_session_has_its_end()
        ends = self._site.audit("closed")
        assert {end["role"] for end in ends} == {self._site.audit("opened")[0]["role"]}
        # The agent asks the guard for the reason when a session was cut: there may be more.
        assert len(ends) >= self.led + len(self._known), (len(ends), self.led)
        reasons = collections.Counter(end["reason"] for end in ends)
        print("  %d sessions ended: %s" % (len(ends), dict(reasons)), flush=True)


def run(python, checkout, module, more):
    """Runs one module. Gives how each of its tests ended, by their names."""
    with tempfile.TemporaryDirectory(prefix="hrpyc-") as folder:
        lines = pathlib.Path(folder) / "findings"
        command = [python, harness.HERE / "rpyc_own_module.py", checkout, module, lines, *more]
        with harness.Program(command) as program:
            try:
                program.wait(LONGEST)
            except AssertionError:
                print("  %s took more than %d s" % (module, LONGEST), flush=True)
        written = lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []
        assert written, program.printed()
    findings = map(json.loads, written)
    return {finding["test"]: Finding(finding) for finding in findings}


def counted(findings):
    """How many ended how."""
    ends = collections.Counter(finding["ended"] for finding in findings.values())
    return ", ".join("%d %s" % (ends[end], end) for end in sorted(ends)) or "none"


def show(version, found):
    """Prints the table and what differs. Gives the exit code."""
    names = sorted(set().union(*found.values()))
    through = sum(bool(finding["redirected"]) for finding in found["open"].values())
    print("\nrpyc %s, Python %d.%d.%d: %d tests, %d through agent and guard" % (
        version, *sys.version_info[:3], len(names), through))
    print("| | %s |" % " | ".join(found))
    print("|---|%s" % ("---|" * len(found)))
    for end in ("passed", "failed", "skipped", "hung"):
        counts = [sum(f["ended"] == end for f in way.values()) for way in found.values()]
        print("| %s | %s |" % (end, " | ".join(map(str, counts))))
    unexplained = 0
    for way in found:
        differing = differences(found["direct"], found[way], names)
        for why, tests in differing.items():
            explained = way != "open" and any(words in why for words in DOCUMENTED)
            unexplained += not explained
            print("\n%s, %s: %s" % (way, "documented" if explained else "NOT DOCUMENTED", why))
            print("".join("  %s\n" % test for test in tests), end="")
    print("\nnot passed with nothing in between:")
    for name, finding in found["direct"].items():
        if finding["ended"] != "passed":
            print("  %s %s" % (name, finding))
    return int(unexplained > 0)


def differences(direct, other, names):
    """The tests that end in another way than directly, by how they do."""
    missing = Finding(ended="not run", why="")
    differing = collections.defaultdict(list)
    for name in names:
        finding = other.get(name, missing)
        if finding["ended"] != direct.get(name, missing)["ended"]:
            differing[str(finding)].append(name)
    return differing


if __name__ == "__main__":
    main()
