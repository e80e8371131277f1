"""Fixtures of the tests of the installed package."""

import pytest

import harness
import kit


@pytest.fixture(scope="session")
def package(request):
    """The environments with the installed wheel."""
    folder = request.config.getoption("--package-venvs")
    if folder is None:
        pytest.skip("needs --package-venvs=FOLDER, with the package's wheel installed in each")
    return kit.Package(folder)


@pytest.fixture
def desk(package):
    """An empty place to run scripts at."""
    with kit.Desk(package) as made:
        yield made


@pytest.fixture(scope="session")
def houdini(machine, package):
    """A server of Houdini's rpyc, for all tests that leave it alone."""
    with machine.server(kit.SERVER) as server:
        yield server


@pytest.fixture(scope="session")
def studio(machine, houdini):
    """A guard in front of it, where everybody who comes joins by a name of their own."""
    with harness.Site(machine) as made:
        made.start_guard("127.0.0.1:%d" % houdini.port)
        yield made


@pytest.fixture
def artist(studio, request):
    """Somebody who has joined the studio and is met in this test only."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-40:].strip("-")
    studio.join(name)
    return name
