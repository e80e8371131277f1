"""A real systemd as process 1 of a small machine made of namespaces.

It has its own processes, mounts, control groups and host name, and the network of a
``namespaces.Namespace``. Of this machine it sees ``/usr``, read-only.
"""

import contextlib
import itertools
import os
import pathlib
import pty
import re
import shutil
import subprocess
import threading

import pytest

import harness
import needs

SYSTEMD = "/lib/systemd/systemd"

#: The users there, and the secret in the home of one of them.
GUARD, ARTIST = 961, 1000
SECRET = "home/artist/secret"

_numbers = itertools.count()

#: Makes the machine's root from a prepared folder and starts systemd in it. All mounts go
#: away with the namespace.
BOOT = r"""
set -eu
root=$1 console=$2 programs=$3
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount --rbind /usr usr
mount -o remount,bind,ro usr
mount --bind "$programs" usr/local/bin
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs -o mode=0755 tmpfs $folder; done
chmod 1777 tmp
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
touch dev/console
mount --bind "$console" dev/console
pivot_root . tmp
umount -l /tmp
echo booting
exec env -i container=other SYSTEMD_UNIT_PATH=/etc/systemd/system PATH=/usr/sbin:/usr/bin \
    /lib/systemd/systemd --system --log-target=console --show-status=no
"""

#: What of systemd's own units the units under test need, without hardware and mounts.
TARGETS = {
    "sysinit.target": "DefaultDependencies=no",
    "basic.target": "DefaultDependencies=no\nRequires=sysinit.target\nAfter=sysinit.target",
    "shutdown.target": "DefaultDependencies=no",
    "multi-user.target": "Requires=basic.target\nAfter=basic.target",
    # A user's own manager, as systemd's user@.service starts it after a login.
    "user.service": "After=basic.target\n[Service]\nType=notify\nUser=artist\nDelegate=yes\n"
                    "Environment=XDG_RUNTIME_DIR=/run/user/%d HOME=/home/artist "
                    "SYSTEMD_UNIT_PATH=/etc/systemd/user\n"
                    "ExecStartPre=+/usr/bin/install -d -o artist -m 0700 /run/user/%d\n"
                    "ExecStart=/lib/systemd/systemd --user" % (ARTIST, ARTIST),
}


def need():
    """Skips where such a machine cannot be made."""
    needs.root()
    needs.programs("systemctl", "unshare", "nsenter", "ip")
    if not os.path.exists(SYSTEMD):
        pytest.skip("needs systemd, which is not installed (Debian: systemd)")
    if not os.path.islink("/lib"):
        pytest.skip("needs a system whose /lib is in /usr")
    if _control_groups() is None:
        pytest.skip("needs a mounted control group file system of version 2 (cgroup2)")


class Booted:
    """The machine. Use it in a ``with`` statement."""

    def __init__(self, machine, namespace, folder, units, files):
        self.namespace = namespace
        self.root = folder / "root"
        self.programs = folder / "bin"
        self._fill(machine, units, files)
        self._group = _control_groups() / ("hrpyc-%d-%d" % (os.getpid(), next(_numbers)))
        self._console = []
        self._process = None
        self._terminal = None

    def _fill(self, machine, units, files):
        self.programs.mkdir()
        for name in ("hrpyc-guard", "hrpyc-certs", "hrpyc-agent"):
            shutil.copy(machine.program(name), self.programs / name)
        for name in ("usr", "proc", "sys", "dev", "run", "tmp", "root", "var/lib", "home/artist",
                     "etc/systemd/system", "etc/systemd/user"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to("usr/" + name)
        (self.root / "var/run").symlink_to("/run")
        os.chown(self.root / "home/artist", ARTIST, ARTIST)
        users = [("root", 0), ("hrpyc-guard", GUARD), ("artist", ARTIST), ("nobody", 65534)]
        passwd = "".join("%s:x:%d:%d::/home/%s:/bin/sh\n" % (n, i, i, n) for n, i in users)
        group = "".join("%s:x:%d:\n" % user for user in users)
        system = self.root / "etc/systemd/system"
        for name, text in TARGETS.items():
            (system / name).write_text("[Unit]\n" + text + "\n", encoding="utf-8")
        (system / "default.target").symlink_to("multi-user.target")
        (self.root / "etc/systemd/user/default.target").write_text("[Unit]\n", encoding="utf-8")
        # What services print comes to the console, where a failing test shows it.
        files = dict(files, **{
            "etc/passwd": passwd, "etc/group": group, "etc/machine-id": "0123456789abcdef" * 2 + "\n",
            "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
            "etc/systemd/system.conf": "[Manager]\nDefaultStandardOutput=tty\n",
            SECRET: "secret\n",
        })
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for unit, kind in units:
            shutil.copy(unit, self.root / "etc/systemd" / kind / unit.name)
            scope = ["--global"] if kind == "user" else []
            enable = ["systemctl", "--root", self.root, *scope, "enable", unit.name]
            subprocess.run([str(word) for word in enable], check=True, capture_output=True)

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _boot(self):
        # Our copy of the services' end stays open: nothing is read once nobody has it open.
        ours, self._terminal = pty.openpty()
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        console = os.ttyname(self._terminal)
        try:
            self._group.mkdir()
        except OSError as error:
            pytest.skip("needs a control group of its own: %s" % error)
        # The control group comes first, so that its namespace begins there.
        script = 'echo 0 > "$0/cgroup.procs"; exec unshare --cgroup sh -c "$1" boot "$2" "$3" "$4"'
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc"]
        command += ["sh", "-c", script, self._group, BOOT, self.root, console, self.programs]
        self._process = harness.Program(self.namespace.inside(command))
        try:
            self._process.line("booting")
        except AssertionError:
            pytest.skip("needs namespaces in which systemd can be booted: %s"
                        % "; ".join(self._process.lines["err"]))
        children = "/proc/%d/task/%d/children" % (self._process.pid, self._process.pid)
        self._init = int(pathlib.Path(children).read_text(encoding="utf-8").split()[0])
        self.wait_for("the boot", lambda: "running" in self.systemctl("is-system-running"))

    def _read(self, ours):
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0):
            while True:
                self._console.append(os.read(ours, 4096).decode("utf-8", "replace"))

    def __exit__(self, *_):
        if self._process is not None:
            self._process.kill()
        if self._group.exists():
            harness.until("the end of all processes", self._remove_groups)
        if self._terminal is not None:
            os.close(self._terminal)

    def _remove_groups(self):
        groups = [folder for folder, _, _ in os.walk(self._group, topdown=False)]
        with contextlib.suppress(OSError):
            for group in groups:
                os.rmdir(group)
            return True
        return False

    def console(self):
        """What systemd and its services have printed so far."""
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(self._console))

    def wait_for(self, what, attempt):
        """Tries until it gives something true; a failure shows the console."""
        try:
            return harness.until(what, attempt)
        except AssertionError as error:
            raise AssertionError("%s; the console shows\n%s" % (error, self.console())) from None

    def inside(self, command, process=None):
        """A command that runs another one there, or where one of its processes is."""
        where = self._init if process is None else process
        return ["nsenter", "--target=%d" % where, "--all", "--", *(str(word) for word in command)]

    def run(self, *command, process=None, user=None):
        """Runs a command there. Gives exit code, output and errors."""
        if user is not None:
            command = ("setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups", "--",
                       *command)
        done = subprocess.run(
            self.inside(command, process), capture_output=True, encoding="utf-8", check=False,
            timeout=2 * harness.DEADLINE, stdin=subprocess.DEVNULL,
            env={"PATH": needs.PATH, "XDG_RUNTIME_DIR": "/run/user/%d" % ARTIST,
                 "HOME": "/home/artist"},
        )
        return done.returncode, done.stdout, done.stderr

    def systemctl(self, *words, user=None):
        """What ``systemctl`` prints; as a user, about that user's own services."""
        scope = [] if user is None else ["--user"]
        return self.run("systemctl", *scope, *words, user=user)[1].strip()

    def show(self, unit, user=None):
        """The properties of a unit."""
        lines = self.systemctl("show", unit, user=user).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def process(self, unit, user=None):
        """The main process of a service, as numbered on this machine."""
        inner = self.show(unit, user)["MainPID"]
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                if re.search(r"(?m)^NSpid:\t\d+\t%s$" % inner, status.read_text("utf-8")) \
                        and self._is_ours(status.parent):
                    return int(status.parent.name)
        raise AssertionError("no process %s" % inner)

    def _is_ours(self, process):
        return os.readlink(process / "ns/pid") == os.readlink("/proc/%d/ns/pid" % self._init)

    def status(self, process):
        """The lines of a process's status."""
        text = pathlib.Path("/proc/%d/status" % process).read_text(encoding="utf-8")
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _control_groups():
    for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, folder, kind = line.split()[:3]
        if kind == "cgroup2":
            return pathlib.Path(folder)
    return None
