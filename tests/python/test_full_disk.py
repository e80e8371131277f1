"""The disk of either machine fills up, and has room again."""

import contextlib
import os
import pathlib
import subprocess
import time

import pytest

import busy
import harness
from test_lunch import make_token_due_soon

SESSIONS = 50

#: Sessions that end while the disk is full.
LEAVING = 5

#: What the guard may take to notice that there is room again.
NOTICED = 5.0


class SmallDisk:
    """A small disk at a folder, seen by whatever is started behind :attr:`inside`."""

    def __init__(self, folder, size, stack):
        folder.mkdir()
        mine = [] if os.geteuid() == 0 else ["-r"]
        script = 'mount -t tmpfs -o size=%s,mode=0700 tmpfs "$1"; echo mounted; exec sleep 1000'
        command = ["unshare", *mine, "-m", "--propagation", "private", "sh", "-ec"]
        if subprocess.run([*command, "mount -t tmpfs tmpfs /mnt"], check=False).returncode != 0:
            pytest.skip("mount namespaces cannot be made here")
        holder = harness.Program([*command, script % size, "sh", folder])
        stack.enter_context(holder)
        holder.line("mounted")
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        self.inside = ("nsenter", "-t", str(holder.pid), "-m", *user)
        #: The folder as it is seen from outside.
        self.seen = pathlib.Path("/proc/%d/root%s" % (holder.pid, folder))

    def fill(self):
        """Leaves no byte free."""
        with open(self.seen / "filler", "wb", buffering=0) as filler:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"\0" * size)

    def make_room(self):
        """The opposite."""
        (self.seen / "filler").unlink()


@pytest.fixture
def stack():
    """Ends what a test has started."""
    with contextlib.ExitStack() as opened:
        yield opened


def test_a_full_audit_begins_no_session_ends_none_and_loses_nothing(machine, site, stack, shown):
    """Busy sessions go on, those that end meanwhile are recorded later, all by itself."""
    disk = SmallDisk(site.folder / "disk", "8m", stack)
    site.at_guard = disk.inside
    site.state, site.seen_state = site.folder / "disk" / "guard", disk.seen / "guard"
    sessions = busy.Busy(machine, site, stack, SESSIONS)
    leaving = [machine.artist("5.3.1", "idle", sessions.agent.port) for _ in range(LEAVING)]
    for artist in leaving:
        stack.enter_context(artist)
        artist.said("ready")

    disk.fill()
    before = site.audit_bytes()
    # The last block of the file may have room for some records.
    refused = harness.until("a refusal", lambda: refusal(sessions.arrive()))
    assert refused["class"] == "ConnectionError", refused
    assert "disk" in refused["message"] and "hint:" in refused["message"], refused
    opened = len(site.audit("opened"))
    for _ in range(3):
        assert refusal(sessions.arrive())
    for artist in leaving:
        artist.tell("now")
        assert artist.result()["value"] == 42
    errors, slowest = sessions.until_all_work()
    assert not errors, errors[:3]
    assert len(site.audit("opened")) == opened

    disk.make_room()
    room = time.monotonic()
    harness.until("a session", lambda: sessions.arrive()["class"] is None)
    took = time.monotonic() - room
    assert took < NOTICED
    shown.append("audit full: %d sessions went on, the longest call took %.1f s; with room again "
                 "a session began after %.1f s" % (SESSIONS, slowest, took))
    sessions.stop()
    assert site.audit_bytes().startswith(before), "the audit was overwritten"
    # Those that were turned away are in it, too.
    codes = [record["code"] for record in site.audit("refused")]
    assert codes.count("audit-unavailable") >= 4, codes
    assert not site.audit("suppressed")


def refusal(result):
    """The result, if it says that the audit cannot be written."""
    if result["class"] is None:
        return None
    assert "audit-unavailable" in result["message"], result
    return result


def test_a_full_disk_at_the_artists_keeps_the_credentials(machine, site, stack, shown):
    """A renewal that cannot be kept destroys nothing; with room again it is repeated."""
    disk = SmallDisk(site.config("alice"), "256k", stack)
    site.at_agent = disk.inside
    server = stack.enter_context(machine.server("4.1.0"))
    site.start_guard("127.0.0.1:%d" % server.port)
    site.join("alice")
    make_token_due_soon(disk.seen)
    disk.fill()
    (path,) = disk.seen.rglob("credentials.json")
    before = path.read_bytes()
    names = sorted(path.parent.iterdir())

    agent = site.connect("alice")
    warning = agent.line("No space left", "err")
    assert "hint" in warning, warning
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == names, "something half written was left"
    with machine.artist("5.3.1", "arriving", agent.port) as artist:
        assert artist.result()["value"] == 42

    disk.make_room()
    room = time.monotonic()
    harness.until("new credentials", lambda: path.read_bytes() != before)
    shown.append("agent's disk full: renewed %.1f s after there was room" % (
        time.monotonic() - room))
    with machine.artist("5.3.1", "arriving", agent.port) as artist:
        assert artist.result()["value"] == 42
    assert len({record["token"] for record in site.audit("opened")}) == 2
