"""Hours of mixed sessions through agents and a guard, with all that happens to one meanwhile.

``cargo verify --soak`` runs it::

    python soak.py --programs DIR --venvs DIR [--minutes 10]

Scripts with each version of rpyc work against servers of each version, in two roles. Meanwhile
people are invited and revoked, and the policy and the configuration are read anew. It prints what
the guard holds and how long calls take, sample by sample. It fails when a script meets what it
should not, when a revoked one goes on, when memory, descriptors or threads grow, when a session
has no end in the audit, or when the audit does not verify.
"""

import argparse
import contextlib
import itertools
import json
import signal
import sys
import time

import harness

VERSIONS = ["4.1.0", "5.3.1", "6.0.2"]

#: Threads of one script. Three scripts of each role do not fill two cores.
THREADS = 6

#: Seconds between two samples, and between two revocations.
EVERY = 10.0

#: How much the guard may hold more in the last third than in the second, beside a twentieth.
SLACK_KIB = 4096

#: What a script whose access was revoked may see: a sentence, and no call that goes on.
REVOKED = ("PermissionError", "EOFError", "ConnectionError", "ConnectionRefusedError",
           "ConnectionResetError", "BrokenPipeError")

POLICY = "[role.read-only]\ncontact = \"it-%d@studio.example\"\n"


class Failed(Exception):
    """The soak has found something."""


def held(program):
    """What a program holds: KiB of its own memory, descriptors, threads."""
    with open("/proc/%d/smaps_rollup" % program.pid, encoding="ascii") as file:
        memory = sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    return {"kib": memory, "descriptors": program.descriptors(), "threads": program.threads()}


class Soak:
    """All programs, and what was seen of them."""

    def __init__(self, machine, stack):
        self.machine = machine
        self.stack = stack
        servers = [stack.enter_context(machine.server(version)) for version in VERSIONS]
        self.site = stack.enter_context(harness.Site(machine))
        self.names = ["rpyc-" + version.replace(".", "-") for version in VERSIONS]
        config = self.site.folder / "guard.toml"
        upstreams = "".join(
            '  { name = "%s", address = "%s" },\n' % (name, server.address)
            for name, server in zip(self.names, servers))
        config.write_text("upstream = [\n%s]\npolicy = \"policy.toml\"\n" % upstreams,
                          encoding="utf-8")
        self.policy = self.site.folder / "policy.toml"
        self.policy.write_text(POLICY % 0, encoding="utf-8")
        self.guard = self.site.start_guard(None, "--config", config)
        self.scripts = []
        self.samples = []
        self.guests = itertools.count()
        self.before = held(self.guard)
        for role, who in (("full", "alice"), ("read-only", "service/farm")):
            self.site.join(who, role=role)
            ports = list(self.site.connect_to(who, self.names).values())
            self.scripts += [self.script(version, role, THREADS, ports) for version in VERSIONS]
        self.agents = list(self.site._agents)

    def script(self, version, role, threads, ports):
        """Starts a script."""
        script = self.machine.script(version, "soaker.py", role, str(threads), *map(str, ports))
        return self.stack.enter_context(script)

    def sample(self, began):
        """Adds what all of them say now."""
        reports = [script.ask("report") for script in self.scripts]
        errors = [error for report in reports for error in report["errors"]]
        if errors:
            raise Failed("a script met what it should not: %s" % json.dumps(errors[:3]))
        took = sorted(itertools.chain.from_iterable(report["took"] for report in reports))
        if not took:
            raise Failed("no script has had an answer for %d s" % EVERY)
        sample = dict(
            held(self.guard), at=time.monotonic() - began,
            sessions=sum(report["sessions"] for report in reports),
            p50=took[len(took) // 2], p99=took[len(took) * 99 // 100],
            agents=sum(held(agent)["kib"] for agent in self.agents),
        )
        self.samples.append(sample)
        print("%5d s  guard %6d KiB %4d descriptors %3d threads  agents %6d KiB  "
              "%4d sessions ended  3 calls p50 %5.1f ms p99 %6.1f ms" % (
                  sample["at"], sample["kib"], sample["descriptors"], sample["threads"],
                  sample["agents"], sample["sessions"], sample["p50"] * 1e3, sample["p99"] * 1e3),
              flush=True)

    def churn(self):
        """Somebody comes, works, and is revoked; the policy and the configuration change."""
        number = next(self.guests)
        name = "guest-%d" % number
        agent = self.site.bring_in(name, "--upstream", self.names[0])
        guest = self.script(VERSIONS[number % 3], "full", 1, [agent.port])
        harness.until("work of a guest", lambda: guest.ask("report")["took"])
        self.site.revoke(name)
        errors = harness.until("the end of a guest", lambda: guest.ask("report")["errors"])
        wrong = [error for error in errors if error[1] not in REVOKED]
        if wrong:
            raise Failed("a revoked script met what it should not: %s" % json.dumps(wrong[:3]))
        guest.ask("report")
        # Whatever it tries after its first error fails as well.
        later = harness.until("another error", lambda: guest.ask("report"))
        if later["took"] or later["sessions"]:
            raise Failed("%s goes on after it was revoked: %s" % (name, json.dumps(later)[:300]))
        guest.kill()
        agent.kill()
        self.site._agents.remove(agent)
        self.policy.write_text(POLICY % number, encoding="utf-8")
        self.guard.process.send_signal(signal.SIGHUP)

    def run(self, seconds):
        """Works for so long."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            turn = time.monotonic()
            self.churn()
            time.sleep(max(0.0, EVERY - (time.monotonic() - turn)))
            self.sample(began)

    def stop(self):
        """Ends the scripts, and looks at what is left."""
        for script in self.scripts:
            script.tell("stop")
        for script in self.scripts:
            errors = script.result()["errors"]
            if errors:
                raise Failed("at the end a script met: %s" % json.dumps(errors[:3]))
        self.site.assert_each_session_has_its_end()
        harness.until("the guard to be idle", self.is_idle)
        print(self.site.run("hrpyc-guard", "audit", "verify", "--state-dir", self.site.state))
        print(self.site.run("hrpyc-guard", "audit", "stats", "--state-dir", self.site.state))

    def is_idle(self):
        """Whether the guard has no more open than before the first session."""
        return held(self.guard)["descriptors"] <= self.before["descriptors"]

    def judge(self):
        """Fails when the last third holds more than the second."""
        third = len(self.samples) // 3
        if not third:
            return
        for name, slack in (("kib", SLACK_KIB), ("descriptors", 40), ("threads", 4)):
            middle, last = (
                sum(sample[name] for sample in samples) / len(samples)
                for samples in (self.samples[third:2 * third], self.samples[-third:]))
            print("%s of the guard: %d in the second third, %d in the last" % (name, middle, last))
            if last > middle * 1.05 + slack:
                raise Failed("the guard's %s grow" % name)


def main():
    """Soaks; exits with 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", required=True)
    parser.add_argument("--venvs", required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        soak = Soak(harness.Machine(options.programs, options.venvs), stack)
        try:
            soak.run(options.minutes * 60)
            soak.stop()
            soak.judge()
        except (Failed, AssertionError) as found:
            print("the soak has failed: %s" % found, file=sys.stderr)
            return 1
    print("soaked for %g minutes: %d guests came and were revoked" % (
        options.minutes, next(soak.guests)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
