"""Threads, signals, forks, and the end of a script."""

import json
import os
import signal
import time

import pytest

import harness
import kit

#: The end of a script, and of an interrupted call, may take this long.
PROMPTLY = 1.5

#: How much a process may grow between the 200th and the 1,000th connection, in KiB.
GROWTH = 8 * 1024


def end_of(program, code=0):
    """Waits for the end of a script; gives how long it took from its last word."""
    assert program.wait() == code, program.printed()
    ended = time.monotonic()
    said = next(line for line in program.lines["out"] if '"leaving"' in line)
    return ended - json.loads(said)["leaving"]


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_fifty_threads_share_a_connection(desk, machine, version):
    """Each gets its own answers."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        assert desk.result("shared", version, to=kit.way(site, "alice"), count=50) == {"wrong": []}


def test_fifty_connections_are_open_at_once(desk, studio, artist):
    """Opened from threads of their own; afterwards no native thread is left over for each."""
    found = desk.result("many", limit=90, to=kit.way(studio, artist), count=50)
    assert found["wrong"] == [] and found["listening"] == [], found
    assert found["threads"] <= 8, found
    assert kit.wait_for_ends(studio, artist) == 50


@pytest.fixture
def frozen(machine, site):
    """A guard that takes connections and says nothing."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        os.kill(site.guard.pid, signal.SIGSTOP)
        try:
            yield site
        finally:
            os.kill(site.guard.pid, signal.SIGCONT)


def test_other_threads_run_while_one_connects(desk, frozen):
    """The interpreter's lock is not held."""
    found = desk.result("counting", to=kit.way(frozen, "alice", timeout=2.0))
    kit.assert_error(found["found"], "Unavailable")
    assert found["found"]["seconds"] > 1.5, found
    assert found["ticks"] > 50 and found["longest"] < 1.0, found


def test_other_threads_run_while_one_waits_for_an_answer(desk, studio, artist):
    """Nor is it held in a call."""
    assert desk.result("counting_calls", to=kit.way(studio, artist))["ticks"] > 50


def test_ctrl_c_interrupts_a_connect(desk, frozen):
    """Long before its timeout."""
    program = desk.client("interrupted_connecting", to=kit.way(frozen, "alice", timeout=60.0))
    program.said("ready")
    # It says so before it begins.
    time.sleep(0.5)
    sent = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    found = program.result()
    assert found["class"] == "KeyboardInterrupt", found
    assert found["monotonic"] - sent < PROMPTLY, found


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_ctrl_c_interrupts_a_call_and_spoils_nothing(desk, machine, version):
    """The connection answers the next call, as on plain rpyc."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client(
            "interrupted_waiting", version, to=kit.way(site, "alice"), seconds=3)
        program.said("ready")
        time.sleep(0.2)
        sent = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        found = program.result()
        assert found["class"] == "KeyboardInterrupt", found
        assert found["monotonic"] - sent < PROMPTLY, found
        assert found["after"].get("value") == 42, found


def test_ctrl_c_at_any_moment_is_an_interrupt_or_an_answer(desk, studio, artist):
    """Never another error, and never a session that stays."""
    found = desk.result("interrupted_many_times", to=kit.way(studio, artist), count=40)
    assert found["errors"] == [] and found["answer"] == 42, found
    assert found["interrupts"] > 0, found
    kit.wait_for_ends(studio, artist, (*kit.IN_ORDER, "client-lost"))


def assert_of_the_parent(outcome):
    """In a child the connection of its parent is lost, and that is said at once."""
    error = outcome.get("error", {})
    assert error.get("class") == "SessionLost", outcome
    assert "EOFError" in error["bases"] and error["sentence"], error
    assert "fork" in error["text"] or "process" in error["text"], error
    assert outcome["seconds"] < PROMPTLY, outcome


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_forked_child_neither_uses_nor_disturbs_its_parents_connection(
        desk, machine, version):
    """It opens its own, ends as scripts end, and the parent's goes on."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("forks", version, to=kit.way(site, "alice"))
        found = program.said("forked")["forked"]
        assert found["code"] == 0, (found, program.printed())
        for name in ("connection", "node", "module"):
            assert_of_the_parent(found["child"][name])
        assert "error" not in found["child"]["close"], found
        assert found["child"]["own"].get("value") == 42, found
        assert found["parent"].get("value") == 42, found
        assert found["node"].get("value") == "/obj/sphere1", found
        # The child's session has ended, the parent's has not.
        harness.until("the end of the child's", lambda: site.audit("closed"))
        parents, childs = kit.sessions(site, "alice").values()
        assert parents is None and childs in kit.IN_ORDER, site.audit_text()
        program.tell("go on")
        assert program.result() == {"new": 42}
        kit.assert_quiet(program)
        kit.wait_for_ends(site, "alice", count=3)


def test_each_generation_has_its_own_connections(desk, studio, artist):
    """A grandchild can use neither of the two before it."""
    found = desk.result("forks_twice", to=kit.way(studio, artist))
    assert found["code"] == 0 and found["child"]["code"] == 0, found
    grandchild = found["child"]["grandchild"]
    assert_of_the_parent(grandchild["first"])
    assert_of_the_parent(grandchild["second"])
    assert grandchild["own"].get("value") == 42, found
    assert found["child"]["own"].get("value") == found["parent"].get("value") == 42, found
    kit.wait_for_ends(studio, artist, count=3)


def test_a_child_connects_after_its_parent_had(desk, studio, artist):
    """What the parent has running in native code is not there in the child."""
    found = desk.result("forks_unconnected", to=kit.way(studio, artist))
    assert found["code"] == 0, found
    assert found["child"].get("value") == found["parent"].get("value") == 42, found
    kit.wait_for_ends(studio, artist, count=3)


def test_forks_among_connecting_threads_do_not_hang(desk, studio, artist):
    """No lock of the parent's threads is left locked in a child."""
    found = desk.result(
        "forks_among_threads", limit=120, to=kit.way(studio, artist), threads=6, count=25)
    assert [code for code, _ in found["children"]] == [0] * 25, found
    assert [child.get("value") for _, child in found["children"]] == [42] * 25, found
    assert found["errors"] == [] and found["hanging"] == 0, found
    assert all(after > before for after, before in zip(found["made"], found["before"])), found
    kit.wait_for_ends(studio, artist)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_works_with_each_start_method(desk, studio, artist, method):
    """Each process has its own connection; exceptions come back as what they are."""
    found = desk.result("pool", to=kit.way(studio, artist), method=method, jobs=12)
    assert found["values"] == [number * number for number in range(12)], found
    assert found["others"] and found["parent"] == 42, found
    error = kit.assert_error(found["refused"], "ProfileError", "LookupError")
    assert "no-such-guard" in error["text"], error
    kit.wait_for_ends(studio, artist, count=13)


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_script_ends_at_once_with_open_connections(desk, machine, version):
    """Exit code 0, and the guard sees an orderly end of each."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("leaves", version, to=kit.way(site, "alice"))
        assert end_of(program) < PROMPTLY, program.printed()
        kit.assert_quiet(program)
        kit.wait_for_ends(site, "alice", count=2)


@pytest.mark.parametrize("interrupt", [False, True], ids=["by-itself", "by-ctrl-c"])
def test_a_script_ends_at_once_while_houdini_is_busy(desk, studio, artist, interrupt):
    """It does not wait for the end of the call that it does not wait for."""
    program = desk.client("leaves_while_busy", to=kit.way(studio, artist), interrupt=interrupt)
    assert end_of(program, -signal.SIGINT if interrupt else 0) < PROMPTLY, program.printed()
    kit.wait_for_ends(studio, artist, (*kit.IN_ORDER, "client-lost"), 1, limit=20)


def test_what_a_script_has_sent_before_its_end_arrives(desk, machine, site):
    """8 MiB that it does not wait for."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("leaves", to=kit.way(site, "alice"), store=8 << 20)
        assert end_of(program) < 2 * PROMPTLY
        kit.assert_quiet(program)
        kit.wait_for_ends(site, "alice", count=2)
        look = "import rpyc; print(rpyc.classic.connect('127.0.0.1', %d).modules.hou.kept)"
        done = desk.run(desk.package.python(), "-c", look % server.port)
        assert done.stdout.strip() == str(8 << 20), done


def test_a_script_ends_among_daemon_threads(desk, studio, artist):
    """While they wait, call and connect; several times, as the moment differs."""
    for _ in range(4):
        program = desk.client("leaves_with_daemons", to=kit.way(studio, artist))
        assert end_of(program) < 2 * PROMPTLY, program.printed()
        errors = "\n".join(program.lines["err"])
        assert "Fatal" not in errors and "panicked" not in errors, program.printed()
        assert '"errors": []' in program.lines["out"][-1], program.printed()
    kit.wait_for_ends(studio, artist, (*kit.IN_ORDER, "client-lost"), limit=20)


def test_a_script_that_fails_ends_as_it_should(desk, studio, artist):
    """Its own exception is what is shown, and the session is closed."""
    program = desk.client("leaves_by_error", to=kit.way(studio, artist))
    assert end_of(program, code=1) < PROMPTLY + 1
    errors = "\n".join(program.lines["err"])
    assert "ValueError" in errors and "of the script" in errors, program.printed()
    assert "Fatal" not in errors and "Exception ignored" not in errors, program.printed()
    kit.wait_for_ends(studio, artist, count=1)


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_connection_that_is_dropped_closes_its_session(desk, machine, version):
    """While the script lives on."""
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        program = desk.client("drops", version, to=kit.way(site, "alice"))
        for number in (1, 2, 3):
            program.line('"dropped"', after=number - 1)
            kit.wait_for_ends(site, "alice", count=number)
            program.tell("go on")
        program.result()
        kit.assert_quiet(program)


def test_a_thousand_connections_leave_nothing_behind(desk, machine, site, shown):
    """Neither descriptors, threads nor memory; closed or dropped, and none ever listens."""
    with machine.server(kit.SERVER) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        began = time.monotonic()
        program = desk.client("again_and_again", to=kit.way(site, "alice"), count=1000)
        found = program.result(180)
        shown.append("1,000 connections of the package one after the other: %.0f s" % (
            time.monotonic() - began))
        kit.assert_quiet(program)
        assert found["listening"] == [], found
        early, late = found["seen"]
        assert late[0] <= early[0] and late[1] <= early[1], found
        assert late[2] - early[2] < GROWTH, found
        kit.wait_for_ends(site, "alice", count=1000)


def test_refusals_leave_nothing_behind(desk, studio, artist):
    """No descriptors and no threads either."""
    studio.revoke(artist)
    found = desk.result("again_and_again_refused", to=kit.way(studio, artist), count=30)
    assert found["seen"][0] == found["seen"][1], found
