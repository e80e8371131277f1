"""Whoever has no business at the guard's port is told so, and reaches nothing."""

import socket
import urllib.error
import urllib.request

import pytest

import harness


@pytest.fixture
def quiet(machine, site):
    """A guard in front of a server, and how many connections the server has had."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        yield site


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_stock_client_at_the_guards_port_gets_a_sentence(machine, quiet, version):
    """Plain rpyc is refused in rpyc, with the code and what to do."""
    with machine.artist(version, "arriving", quiet.guard.port) as artist:
        error = artist.result()
    assert error["class"] == "PermissionError", error
    assert "plain-rpyc" in error["message"] and "hint:" in error["message"], error
    record = quiet.wait_for_record("refused", code="plain-rpyc")
    assert not record.get("upstream") and not quiet.audit("opened")


def test_a_browser_at_the_guards_port_gets_a_page(quiet):
    """HTTP is refused in HTTP."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen("http://%s/" % quiet.guard.address, timeout=harness.DEADLINE)
    assert refused.value.code == 403
    assert "hrpyc" in refused.value.read().decode()
    quiet.wait_for_record("refused", code="plain-http")


def test_a_browser_at_the_agents_port_reaches_nothing(quiet):
    """A web page of the artist's machine cannot talk to Houdini through the agent."""
    agent = quiet.bring_in("alice")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen("http://%s/" % agent.address, timeout=harness.DEADLINE)
    assert refused.value.code == 403
    with socket.create_connection(("127.0.0.1", agent.port)) as tls:
        tls.settimeout(harness.DEADLINE)
        tls.sendall(bytes.fromhex("160301020001"))
        assert tls.recv(1) == b""
    assert not quiet.audit("opened")
