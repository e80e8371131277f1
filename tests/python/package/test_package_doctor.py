"""``python -m hrpyc_guard doctor`` finds out why it does not connect."""

import json

import pytest

import harness
import kit


@pytest.fixture
def own(machine, site):
    """A site with a server and somebody who has joined."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        site.server = server
        yield site


def doctor(desk, site, *args, key=kit.CLIENT, name="alice", code=0,
           limit=harness.DEADLINE):
    """Runs it, and gives all that it printed."""
    done = desk.run(desk.package.python(key), "-m", "hrpyc_guard", "doctor", *args,
                    "--config-dir", site.config(name), limit=limit)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr, done
    return done.stdout + done.stderr


def report(desk, site, *args, **options):
    """Runs it with ``--json``; there is one object on the standard output."""
    done = desk.run(desk.package.python(options.pop("key", kit.CLIENT)), "-m", "hrpyc_guard",
                    "doctor", *args, "--json", "--config-dir", site.config("alice"))
    assert done.returncode == options["code"], (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1"])
def test_all_is_well(desk, own, version):
    """Exit code 0; rpyc was asked too; its sessions do not stay."""
    text = doctor(desk, own, key=version)
    assert "ws12" in text and "rpyc" in text, text
    for args in ([], ["ws12"], ["ws12:ws12"], ["--profile", "ws12"]):
        found = report(desk, own, *args, key=version, code=0)
        assert found["ok"] is True, found
        assert all(check["ok"] for check in found["checks"]), found
    opened = len(kit.sessions(own, "alice"))
    assert opened >= 5, "rpyc was not asked"
    kit.wait_for_ends(own, "alice", (*kit.IN_ORDER, "client-lost"))


def failed(found):
    """The checks that are not well; each says what to do."""
    assert found["ok"] is False, found
    checks = [check for check in found["checks"] if not check["ok"]]
    assert checks and all(check["text"] for check in checks), found
    return checks


def test_a_guard_that_is_away_is_found(desk, own):
    """Exit code 1 with the address."""
    own.guard.kill()
    assert own.guard.address in doctor(desk, own, code=1)
    checks = failed(report(desk, own, code=1))
    assert any(own.guard.address in check["text"] for check in checks), checks


def test_a_revocation_is_found(desk, own):
    """Exit code 1 with the guard's sentence."""
    own.revoke("alice")
    assert "revoked" in doctor(desk, own, code=1)
    assert any("revoked" in check["text"] for check in failed(report(desk, own, code=1)))


def test_a_houdini_that_is_down_is_found(desk, own):
    """Exit code 1 with how to start the server."""
    own.server.kill()
    assert "start_server" in doctor(desk, own, code=1)


def test_a_missing_profile_is_found(desk, own):
    """Exit code 1: nobody has joined, or not by that name."""
    assert "hrpyc-agent join" in doctor(desk, own, name="nobody", code=1)
    assert "ws12" in doctor(desk, own, "ws99", code=1)


@pytest.mark.parametrize("server, client", [("4.1.0", "6.0.2"), ("6.0.2", "5.3.1")])
def test_an_rpyc_that_does_not_fit_is_named_in_words(desk, machine, site, server, client):
    """Which one is here, that the two do not fit, and what to do about it here."""
    with machine.server(server) as started:
        # A guard that inspects sessions would translate.
        site.start_guard("127.0.0.1:%d" % started.port, *harness.OPAQUE)
        site.join("alice")
        text = doctor(desk, site, key=client, code=1)
        assert "rpyc" in text and client in text, text
        assert "do not understand each other" in text, text
        # Who has an older one already is not told to install an older one.
        assert ("rpyc<6" in text) == client.startswith("6"), text
        checks = failed(report(desk, site, key=client, code=1))
        assert [check["check"] for check in checks] == ["rpyc"], checks


def test_a_houdini_that_does_not_answer_does_not_hold_it_up(desk, machine, site):
    """Something listens there, takes the connection and says nothing."""
    def silent(peer):
        harness.read_all(peer)

    with harness.RawUpstream(silent) as upstream:
        site.start_guard(upstream.address)
        site.join("alice")
        text = doctor(desk, site, code=1, limit=20)
        assert "rpyc" in text or "Houdini" in text, text
        # Silence says nothing of versions.
        assert "do not understand each other" not in text, text
