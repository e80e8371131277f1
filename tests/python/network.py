"""Machines of their own: network namespaces joined by a wire that can be cut."""

import os
import shutil
import subprocess

import pytest

import harness


def run(*words):
    """Runs a command that must succeed."""
    done = subprocess.run(
        words, capture_output=True, encoding="utf-8", timeout=harness.DEADLINE, check=False
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def skip_unless_possible():
    """Skips the test, naming what is missing, where namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip("%s is not installed" % program)


class Wire:
    """Two machines, ``near`` (the guard's) and ``far`` (the artist's), and a wire.

    Their names are those of the network namespaces. Use it in a ``with`` statement.
    """

    _made = 0

    def __init__(self):
        Wire._made += 1
        number = "%d-%d" % (os.getpid(), Wire._made)
        self.near, self.far = "hrpyc-near-" + number, "hrpyc-far-" + number
        self.near_address, self.far_address = "10.213.7.1", "10.213.7.2"

    def __enter__(self):
        for name in (self.near, self.far):
            run("ip", "netns", "add", name)
        try:
            run("ip", "-n", self.near, "link", "add", "wire", "type", "veth",
                "peer", "name", "wire", "netns", self.far)
            run("ip", "-n", self.near, "address", "add", self.near_address + "/24", "dev", "wire")
            run("ip", "-n", self.far, "address", "add", self.far_address + "/24", "dev", "wire")
            for name in (self.near, self.far):
                run("ip", "-n", name, "link", "set", "lo", "up")
                run("ip", "-n", name, "link", "set", "wire", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (self.near, self.far):
            run("ip", "netns", "delete", name)

    def inside(self, name):
        """What to write before a command that is to run on a machine."""
        return ("ip", "netns", "exec", name)

    def cut(self, how):
        """``unplugged``: the far end loses its link. ``swallowed``: all packets vanish."""
        if how == "unplugged":
            run("ip", "-n", self.near, "link", "set", "wire", "down")
        else:
            rules = "add table inet cut\n" + "".join(
                "add chain inet cut %s { type filter hook %s priority 0; policy accept; }\n"
                "add rule inet cut %s %s \"wire\" drop\n" % (hook, hook, hook, match)
                for hook, match in (("input", "iifname"), ("output", "oifname"))
            )
            run("ip", "netns", "exec", self.near, "nft", rules)

    def heal(self, how):
        """The end of a cut."""
        if how == "unplugged":
            run("ip", "-n", self.near, "link", "set", "wire", "up")
        else:
            run("ip", "netns", "exec", self.near, "nft", "delete table inet cut")

    def move_far_machine(self):
        """The far machine gets another address and loses the one that it had."""
        run("ip", "-n", self.far, "address", "flush", "dev", "wire")
        run("ip", "-n", self.far, "address", "add", "10.213.7.3/24", "dev", "wire")
