"""Options and fixtures of the Python tests. ``cargo verify python`` runs them."""

import signal
import time

import pytest

import harness

#: Lines that tests want to have shown at the end, such as the worst time of many.
SHOWN = []


def pytest_addoption(parser):
    """Where the built programs and the Python environments are."""
    parser.addoption("--programs", default="../../target/debug")
    parser.addoption("--venvs", default="../../target/venvs")
    parser.addoption("--package-venvs", help="environments that have the package's wheel")
    parser.addoption("--before", type=float, help="seconds that went before the tests")


def pytest_configure(config):
    """Notes when the tests began."""
    config.began = time.monotonic()
    # A shell without a terminal has what it starts in the background ignore Ctrl-C, and
    # programs hand that on to those they start; some tests press it.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter, config):
    """Shows what was measured, and the time of all steps together."""
    for line in SHOWN:
        terminalreporter.write_line(line)
    before = config.getoption("--before")
    if before is not None:
        total = before + time.monotonic() - config.began
        terminalreporter.write_line("all steps together: %.0f s" % total)


@pytest.fixture(scope="session")
def machine(request):
    """The built programs and the Python environments."""
    option = request.config.getoption
    return harness.Machine(option("--programs"), option("--venvs"))


@pytest.fixture
def site(machine):
    """An empty site."""
    with harness.Site(machine) as made:
        yield made


@pytest.fixture(scope="session")
def shown():
    """A list of lines to show at the end."""
    return SHOWN


class Way:
    """A server of one version, and the way to it for a client of another."""

    def __init__(self, machine, site, server, client_version):
        self.machine = machine
        self.site = site
        self.server = server
        self.client_version = client_version
        site.start_guard("127.0.0.1:%d" % server.port)
        self.agent = site.bring_in("alice")

    def direct(self, task, limit=harness.DEADLINE, **arguments):
        """What a task gives with nothing in between."""
        return self._run(task, self.server.port, limit, arguments)

    def guarded(self, task, limit=harness.DEADLINE, **arguments):
        """What a task gives through agent and guard."""
        return self._run(task, self.agent.port, limit, arguments)

    def _run(self, task, port, limit, arguments):
        with self.machine.artist(self.client_version, task, port, **arguments) as artist:
            return artist.result(limit)


@pytest.fixture(
    scope="module", params=harness.PAIRS, ids=lambda pair: "server-%s-client-%s" % pair
)
def way(request, machine):
    """The way through, for each pair of versions that must work."""
    server_version, client_version = request.param
    with machine.server(server_version) as server, harness.Site(machine) as made:
        yield Way(machine, made, server, client_version)
