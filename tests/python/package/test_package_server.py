"""``start_server`` and ``stop_server``: the maker's server, on loopback only."""

import json
import shutil
import socket
import time

import pytest

import harness
import kit


def connected(port, host="127.0.0.1"):
    """Whether something answers there."""
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def ask(desk, port, expression="40 + 2"):
    """What a plain rpyc client gets there."""
    code = "import rpyc; print(rpyc.classic.connect('127.0.0.1', %d).eval(%r))"
    done = desk.run(desk.package.python(), "-c", code % (port, expression))
    assert done.returncode == 0, done
    return done.stdout.strip()


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_the_server_listens_on_loopback_only(desk, version):
    """Its port is the one that is returned; other addresses of this machine refuse."""
    server = desk.client("serves", version, args=[0])
    said = server.said("port")
    assert isinstance(said["port"], int) and said["port"] > 0, said
    assert [table for table, _ in said["listening"]] == ["tcp"], said
    address = said["listening"][0][1][1]
    assert address == "0100007F:%04X" % said["port"], said
    assert connected(said["port"])
    assert not connected(said["port"], "127.0.0.2")
    server.tell("look")
    threads = server.said("threads")["threads"]
    assert len(threads) >= 2, threads
    assert all(daemon for name, daemon in threads if name != "MainThread"), threads
    server.tell("leave")
    # It does not keep the program from ending.
    left = server.result()["leaving"]
    assert time.monotonic() - left < 3, server.printed()
    kit.assert_quiet(server)


def test_a_session_does_not_keep_the_program_from_ending(desk):
    """A client is connected and idle when Houdini quits."""
    server = desk.client("serves", args=[0])
    port = server.said("port")["port"]
    code = ("import rpyc, sys\nc = rpyc.classic.connect('127.0.0.1', %d)\nprint(c.eval('1'), "
            "flush=True)\nsys.stdin.readline()\n" % port)
    with harness.Program([desk.package.python(), "-c", code], env=desk.env()) as client:
        client.line("1")
        server.tell("leave")
        left = server.result()["leaving"]
        assert time.monotonic() - left < 3, server.printed()


def test_the_signature_is_the_makers(desk):
    """Positional, in the maker's order, with the maker's defaults."""
    either = "POSITIONAL_OR_KEYWORD"
    assert desk.result("server_signature") == {
        "start": [["port", either, 18811], ["use_thread", either, True], ["quiet", either, True]],
        "stop": 0,
    }


@pytest.mark.parametrize("args, kwargs", [
    ([0, True, True], {}), ([0, True, False], {}), ([], {"port": 0, "quiet": False})])
def test_the_makers_arguments_work(desk, args, kwargs):
    """Positional and by name."""
    server = desk.client("serves", args=args, kwargs=kwargs)
    assert ask(desk, server.said("port")["port"]) == "42"


def test_without_a_thread_it_blocks(desk):
    """``use_thread=False`` serves until the process ends."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = desk.client("serves_in_this_thread", port=port)
    server.said("starting")
    harness.until("the server", lambda: connected(port))
    assert ask(desk, port) == "42"
    assert not connected(port, "127.0.0.2")
    assert server.process.poll() is None and not server.lines["out"][1:], server.printed()


def test_a_taken_port_is_an_os_error_that_names_it(desk):
    """And the holder is not disturbed; the next try may take another port."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        server = desk.client("serves", args=[0])
        server.said("port")
        server.tell("stop")
        assert "error" not in server.said("stopped")["stopped"]
        server.tell("start %d" % port)
        error = server.said("started")["started"]["error"]
        assert "OSError" in error["bases"] and str(port) in error["text"], error
        server.tell("start 0")
        line = server.line('"started"', after=3)
        assert json.loads(line)["started"]["value"] > 0, server.printed()


def test_a_second_server_in_the_same_process_is_refused(desk):
    """``RuntimeError``, and the first one goes on."""
    server = desk.client("serves", args=[0])
    port = server.said("port")["port"]
    server.tell("start 0")
    error = server.said("started")["started"]["error"]
    assert error["class"] == "RuntimeError" and str(port) in error["text"], error
    assert ask(desk, port) == "42"


def test_stopping_ends_the_sessions_and_frees_the_port(desk):
    """A client that waits is told so, and a new server can have the same port."""
    server = desk.client("serves", args=[0])
    port = server.said("port")["port"]
    code = ("import rpyc, sys, time\nc = rpyc.classic.connect('127.0.0.1', %d)\n"
            "print(c.eval('1'), flush=True)\n"
            "try:\n    c.serve(60)\nexcept EOFError:\n    print('EOFError', flush=True)\n" % port)
    with harness.Program([desk.package.python(), "-c", code], env=desk.env()) as client:
        client.line("1")
        server.tell("stop")
        stopped = server.said("stopped")["stopped"]
        assert "error" not in stopped and stopped["seconds"] < 5, stopped
        client.line("EOFError", limit=5)
    assert not connected(port)
    server.tell("start %d" % port)
    assert server.said("started")["started"].get("value") == port, server.printed()
    assert ask(desk, port) == "42"
    server.tell("leave")
    server.result()
    kit.assert_quiet(server)


def test_the_server_works_where_the_native_part_cannot_be_loaded(desk, machine, package):
    """On another system Houdini can still start it; the client says what is missing."""
    shutil.copytree(package.installed(), desk.folder / "copy" / "hrpyc_guard")
    native = list((desk.folder / "copy" / "hrpyc_guard").glob("_native*.so"))
    assert native, "there is no native part to remove"
    for path in native:
        path.unlink()
    desk.put_client()
    env = desk.env(PYTHONPATH=str(desk.folder / "copy"))
    program = desk.start(machine.python(kit.CLIENT), "client.py", "without_native", env=env)
    found = program.result()
    assert found["server"] == 42, found
    for name in ("import", "connect"):
        error = found[name]["error"]
        assert "ImportError" in error["bases"], error
        assert "_native" in error["text"] and "hrpyc_guard" in error["text"], error
        assert "hint:" in error["text"], error


@pytest.mark.parametrize("version", ["4.1.0"])
def test_a_guard_in_front_of_this_server(desk, site, version):
    """All of the real thing: the package at both ends."""
    server = desk.client("serves", version, args=[0], scene=str(harness.HERE / "scene"))
    port = server.said("port")["port"]
    site.start_guard("127.0.0.1:%d" % port)
    site.join("alice")
    calls = [[["127.0.0.1", port, "hou"], {"config_dir": str(site.config("alice"))}]]
    found = desk.result("imports", calls=calls)["found"]
    assert found[0].get("value") == {"module": "hou", "pid": server.pid}, found
    desk.put(harness.HERE / "hrpyc_client.py")
    to = kit.way(site, "alice", port=port)
    assert desk.result("brackets", to=to, way="package")["function"][:2] == [1, 1]
    # The guard is satisfied with where it listens.
    warnings = [line for line in site.guard.lines["err"] if "WARN" in line and str(port) in line]
    assert not [line for line in warnings if "reached past" in line], warnings
