"""What a test needs of the machine. Where it is missing the test is skipped, and says why."""

import os
import shutil
import sys

import pytest

#: Programs for root may lie where the path of others does not lead.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])

#: Where the programs come from, in the words of Debian.
PACKAGES = {"nft": "nftables", "ip": "iproute2", "systemd-analyze": "systemd",
            "systemctl": "systemd", "nsenter": "util-linux", "unshare": "util-linux",
            "setpriv": "util-linux", "bash": "bash"}


def linux():
    """Skips elsewhere than on Linux."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")


def root():
    """Skips unless this is root, who may make namespaces and be other users."""
    linux()
    if os.geteuid() != 0:
        pytest.skip("needs root, to make namespaces and to be other users")


def programs(*names):
    """Skips when one of these programs is not installed."""
    for name in names:
        if shutil.which(name, path=PATH) is None:
            package = PACKAGES[name]
            pytest.skip("needs %s, which is not installed (Debian: %s)" % (name, package))
