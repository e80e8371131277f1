"""What goes wrong arrives as the promised class, with sentence, hint and code."""

import os
import signal
import time

import pytest

import harness
import kit

#: Within this a script must have been told of what happened to its session.
SOON = 5.0

ALSO = {"ProfileError": "LookupError", "AccessDenied": "PermissionError",
        "Unavailable": "ConnectionError"}


@pytest.fixture
def own(machine, site):
    """A server and a guard of the test's own, which may be killed."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        yield Own(machine, site, server)


class Own:
    """One server, one guard, one artist."""

    def __init__(self, machine, site, server):
        self.machine = machine
        self.site = site
        self.server = server
        self.to = kit.way(site, "alice")


def refusal(desk, cls, codes=None, key=kit.CLIENT, limit=harness.DEADLINE, **to):
    """What ``connect`` raises, after all that every refusal must keep."""
    return refusals(desk, cls, codes, [to], key, limit)[0]


def refusals(desk, cls, codes, attempts, key=kit.CLIENT, limit=harness.DEADLINE):
    """The same for several attempts of one process."""
    found = desk.result("refusals", key, limit, attempts=attempts)["found"]
    for error in found:
        kit.assert_error(error, cls, ALSO[cls], codes)
        assert all(error["copies"]), error
    return found


def test_the_classes_are_related_as_promised(desk):
    """And to no other class, so that each ``except`` catches what it should."""
    assert desk.result("hierarchy") == {
        "GuardError": [],
        "ProfileError": ["GuardError", "LookupError"],
        "AccessDenied": ["GuardError", "PermissionError"],
        "Unavailable": ["ConnectionError", "GuardError"],
        "SessionLost": ["EOFError", "GuardError"],
        "SessionDenied": ["AccessDenied", "EOFError", "GuardError", "PermissionError",
                          "SessionLost"],
    }


def test_who_has_not_joined_is_told_to(desk):
    """No profile: in an empty folder, in one that is not there, and in the user's own."""
    empty = desk.folder / "empty"
    empty.mkdir(mode=0o700)
    attempts = [{"config_dir": str(empty)}, {"config_dir": str(desk.folder / "none")}, {}]
    for error in refusals(desk, "ProfileError", None, attempts):
        assert "hrpyc-agent join" in error["hint"], error
        assert error["seconds"] < 2, error


def test_an_unknown_server_is_answered_with_those_that_there_are(desk, own):
    """Guard and profile are named; so is what was asked for."""
    kit.join(own.site, "carol", own.site.config("alice"), profile="night-shift")
    attempts = [dict(own.to, server="ws99"), dict(own.to, server="night-shift:ws99"),
                dict(own.to, profile="ws99"), dict(own.to, server="10.9.8.7")]
    for error in refusals(desk, "ProfileError", None, attempts):
        assert "ws12" in error["text"], error
        assert "ws99" in error["text"] or "10.9.8.7" in error["text"], error
    error = refusal(desk, "ProfileError", **own.to)
    assert "ws12" in error["text"] and "night-shift" in error["text"], error


@pytest.mark.parametrize("damage", ["no key", "half a certificate", "open to others"])
def test_a_damaged_profile_is_named(desk, studio, artist, damage):
    """Its files cannot be used: that is no refusal of the guard."""
    folder = studio.config(artist) / "ws12"
    if damage == "no key":
        (folder / "key.pem").unlink()
    elif damage == "half a certificate":
        text = (folder / "credentials.json").read_text(encoding="utf-8")
        (folder / "credentials.json").write_text(text[:200], encoding="utf-8")
    else:
        (folder / "key.pem").chmod(0o644)
    error = refusal(desk, "ProfileError", **kit.way(studio, artist))
    assert str(folder) in error["text"], error
    assert not kit.sessions(studio, artist)


def test_who_was_revoked_before_is_denied(desk, studio, artist):
    """By the guard, with its sentence; and it is not taken for a lost session."""
    to = kit.way(studio, artist)
    assert desk.result("leaves", to=to)
    studio.revoke(artist)
    error = refusal(desk, "AccessDenied", kit.REVOKED, **to)
    assert "revoked" in error["sentence"], error
    assert desk.result("catches", to=to)["caught"] == [
        "AccessDenied", "GuardError", "OSError", "PermissionError"]


def test_access_that_has_ended_is_denied(desk, studio, artist):
    """Its code is another one than that of a revocation."""
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    studio.certs("grant", artist, "--access-until", ended)
    time.sleep(2)
    refusal(desk, "AccessDenied", {"access-ended"}, **kit.way(studio, artist))


def test_what_was_not_granted_is_denied(desk, machine, site):
    """An upstream outside the grant."""
    with machine.server(kit.SERVER) as one, machine.server(kit.SERVER) as two:
        site.start_guard("127.0.0.1:%d" % one.port, "--upstream", "127.0.0.1:%d" % two.port)
        kit.join(site, "alice", site.config("alice"), invite=("--upstream", str(one.port)))
        to = kit.way(site, "alice")
        assert desk.result("connects", calls=[[[], to]])["found"][0]["value"]["pid"] == one.pid
        refusal(desk, "AccessDenied", {"upstream-not-granted"}, **dict(to, port=two.port))


def test_a_guard_that_is_down_is_unavailable(desk, own):
    """Within the timeout: until then it may be starting."""
    own.site.guard.kill()
    error = refusal(desk, "Unavailable", **dict(own.to, timeout=3.0))
    assert error["seconds"] < 4.0, error
    assert "ws12" in error["sentence"] and error["hint"], error
    assert desk.result("catches", to=dict(own.to, timeout=0.5))["caught"] == [
        "ConnectionError", "GuardError", "OSError", "Unavailable"]


@pytest.mark.parametrize("limit", [1.0, 3.0])
def test_a_guard_that_does_not_answer_is_unavailable_within_the_timeout(desk, own, limit):
    """It is frozen; the kernel still takes connections for it."""
    os.kill(own.site.guard.pid, signal.SIGSTOP)
    try:
        error = refusal(desk, "Unavailable", **dict(own.to, timeout=limit))
    finally:
        os.kill(own.site.guard.pid, signal.SIGCONT)
    assert limit - 0.5 < error["seconds"] < limit + 1.5, error


@pytest.mark.parametrize("limit", [1.5])
def test_a_houdini_that_does_not_answer_is_unavailable_within_the_timeout(desk, own, limit):
    """The guard lets the script in, and Houdini cooks: the timeout is for all of the way."""
    os.kill(own.server.pid, signal.SIGSTOP)
    try:
        error = refusal(desk, "Unavailable", limit=10, **dict(own.to, timeout=limit))
    finally:
        os.kill(own.server.pid, signal.SIGCONT)
    assert error["seconds"] < limit + 1.5, error
    kit.wait_for_ends(own.site, "alice", (*kit.IN_ORDER, "client-lost"), 1)


def test_a_houdini_that_is_down_is_unavailable(desk, own):
    """The guard says so, and how to start the server."""
    own.server.kill()
    error = refusal(desk, "Unavailable", {"upstream-down"}, **own.to)
    assert "start_server" in error["hint"], error


def test_something_else_at_the_guards_address_is_unavailable(desk, own):
    """A web server has got the port: it is not the guard, and nobody decided anything."""
    port = own.site.guard.port
    own.site.guard.kill()
    with harness.Listener([
            desk.package.python(), "-c",
            "import http.server, sys\n"
            "s = http.server.HTTPServer(('127.0.0.1', %d), "
            "http.server.SimpleHTTPRequestHandler)\n"
            "print('listening on 127.0.0.1:%d', flush=True)\n"
            "s.serve_forever()" % (port, port)], cwd=desk.work):
        error = refusal(desk, "Unavailable", **own.to)
        assert "TLS" in error["sentence"] and error["hint"], error


def test_another_rpyc_at_the_far_end_does_not_hang(desk, machine, site):
    """rpyc 6 does not understand 4.1 where nobody translates: the script is told."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port, *harness.OPAQUE)
        site.join("alice")
        to = {"config_dir": str(site.config("alice")), "timeout": 4.0}
        found = desk.result("imports", "6.0.2", calls=[[[], to]])["found"]
    assert found[0]["seconds"] < 6.0, found
    error = kit.assert_error(found[0], "Unavailable", "ConnectionError")
    assert "rpyc" in error["text"], error


def test_a_guard_that_inspects_translates_between_rpycs(desk, own):
    """The same client and server, with a guard as it comes."""
    found = desk.result("imports", "6.0.2", calls=[[[], dict(own.to)]])["found"]
    assert "value" in found[0] or not found[0].get("error"), found


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_revocation_is_told_to_calls_that_wait(desk, machine, version):
    """Each with the guard's sentence, and so is each call after it."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("waiting", version, to=kit.way(site, "alice"), threads=3)
        program.said("ready")
        returned = site.revoke("alice")
        for outcomes in program.result()["found"]:
            for outcome in outcomes:
                error = kit.assert_error(outcome, "SessionDenied", codes=kit.REVOKED)
                assert {"AccessDenied", "SessionLost"} <= set(error["bases"]), error
                assert "revoked" in error["sentence"] and error["hint"], error
                assert error["monotonic"] - returned < SOON, error
        kit.assert_quiet(program)
        kit.wait_for_ends(site, "alice", ["session-revoked"], 3)


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1"])
def test_all_threads_of_a_connection_are_told_of_a_revocation(
        desk, studio, artist, version):
    """Whoever reads for the others, and those who wait behind."""
    program = desk.client("waiting_together", version, to=kit.way(studio, artist), threads=5)
    program.said("ready")
    returned = studio.revoke(artist)
    for outcome in program.result()["found"]:
        error = kit.assert_error(outcome, "SessionDenied", codes=kit.REVOKED)
        assert error["monotonic"] - returned < SOON, error


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_revocation_is_told_to_the_next_call_of_an_idle_script(desk, machine, version):
    """To each further one too, to calls of objects, and to whoever connects anew."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("idle", version, to=kit.way(site, "alice"))
        program.said("ready")
        site.revoke("alice")
        site.wait_for_record("closed", reason="session-revoked")
        program.tell("now")
        result = program.result()
        new = result["found"].pop("new")
        assert sorted(result["found"]) == ["first", "method", "module", "object", "second"]
        for name, outcome in result["found"].items():
            assert "error" in outcome, (name, outcome)
            error = kit.assert_error(outcome, "SessionDenied", "EOFError", kit.REVOKED)
            assert "revoked" in error["sentence"], error
            assert outcome["seconds"] < SOON, (name, outcome)
        error = kit.assert_error(new, "AccessDenied", "PermissionError", kit.REVOKED)
        assert "SessionLost" not in error["bases"], error
        assert "error" not in result["close"], result
        kit.assert_quiet(program)


def test_access_that_ends_in_mid_session_is_told(desk, studio, artist):
    """As a revocation is, with the code that says that it ended as agreed."""
    program = desk.client("waiting", to=kit.way(studio, artist))
    program.said("ready")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    studio.certs("grant", artist, "--access-until", end)
    for outcome in program.result()["found"][0]:
        kit.assert_error(outcome, "SessionDenied", codes={"access-ended", "session-access-ended"})


def comes_back(desk, to, take_away, bring_back, check_lost):
    """A script loses its session to something that comes back, and goes on."""
    program = desk.client("comes_back", to=to)
    assert program.said("ready")["ready"] == "/obj/sphere1"
    take_away()
    program.tell("call")
    lost = program.said("lost")["lost"]
    check_lost(lost)
    assert lost["seconds"] < SOON + 5, lost
    bring_back()
    program.tell("again")
    result = program.result()
    assert result["again"].get("value") == "/obj/sphere1", result
    # What the script held of the first session stays lost.
    assert "SessionLost" in result["old"]["error"]["bases"], result
    kit.assert_quiet(program)


def assert_lost(outcome):
    """A loss is not a decision about anybody."""
    error = outcome.get("error", {})
    assert error.get("class") == "SessionLost", outcome
    assert {"GuardError", "EOFError"} <= set(error["bases"]), error
    assert "AccessDenied" not in error["bases"], error
    assert error["sentence"] and error["hint"], error


def test_a_script_goes_on_after_the_guard_was_restarted(desk, own):
    """SIGKILL and a new start on the same port."""
    comes_back(desk, own.to, own.site.guard.kill, own.site.restart_guard, assert_lost)


def test_a_script_goes_on_after_houdini_was_restarted(desk, own):
    """SIGKILL and a new start on the same port."""
    started = []

    def restart():
        started.append(own.machine.server(kit.SERVER, own.server.port))

    try:
        comes_back(desk, own.to, own.server.kill, restart, assert_lost)
    finally:
        for server in started:
            server.kill()


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
@pytest.mark.parametrize("killed", ["guard", "houdini"])
def test_a_call_that_waits_is_told_of_a_death(desk, machine, version, killed):
    """Long before rpyc's own limit of 30 s, and in words; ``EOFError`` as plain rpyc has."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("waiting", version, to=kit.way(site, "alice"))
        program.said("ready")
        died = time.monotonic()
        (site.guard if killed == "guard" else server).kill()
        for outcome in program.result()["found"][0]:
            assert_lost(outcome)
            assert outcome["error"]["monotonic"] - died < SOON + 5, outcome


def test_a_guard_that_is_stopped_in_order_loses_the_session(desk, own):
    """Two SIGTERM: the script is told that it was lost, not that it was denied."""
    def stop():
        own.site.guard.process.terminate()
        own.site.guard.line("second signal", "err")
        assert own.site.guard.terminate() == 0

    comes_back(desk, own.to, stop, own.site.restart_guard, assert_lost)
    assert {r["reason"] for r in own.site.audit("closed")} >= {"session-drained"}


def test_a_module_that_is_missing_there_is_an_import_error(desk, studio, houdini, artist):
    """As on plain rpyc; the session it was asked for in does not stay open."""
    name = "no_such_module_over_there"
    direct = desk.result("missing_module_directly", port=houdini.port, name=name)
    program = desk.client("missing_module", to=kit.way(studio, artist), name=name)
    missing = program.said("missing")["missing"]
    assert missing["error"]["class"] == direct["error"]["class"] == "ModuleNotFoundError"
    assert "ImportError" in missing["error"]["bases"], missing
    assert name in missing["error"]["text"], missing
    assert "GuardError" not in missing["error"]["bases"], missing
    kit.wait_for_ends(studio, artist, count=1)
    program.tell("go on")
    assert program.result() == {"answer": 42}


def test_the_package_can_be_loaded_anew_in_mid_script(desk, studio, artist):
    """Old connections work on, new ones too, and errors are caught by the new names."""
    found = desk.result("reloads", to=kit.way(studio, artist))
    for name in ("old", "old after that"):
        if "error" in found[name]:
            assert "SessionLost" in found[name]["error"]["bases"], found
        else:
            assert found[name]["value"] == 42, found
    assert found["new"].get("value") == 42, found
    assert found["imported anew"].get("value") == 42, found
    assert found["caught"] == "the new class", found
    assert found["is_guard_error"], found
    kit.wait_for_ends(studio, artist)
