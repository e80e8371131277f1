"""Whatever the guard accepts as brine, each rpyc reads the same way."""

import random
import subprocess

import pytest

import harness

VERSIONS = ["4.1.0", "4.1.5", "5.3.1", "6.0.2"]

#: How many values each version writes, and how often each is changed a little.
COUNT, CHANGES = 600, 4


def filtered(command, lines):
    """What a program makes of each line."""
    done = subprocess.run(
        [str(word) for word in command],
        input="".join(line + "\n" for line in lines),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=harness.DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines)
    return answers


class Readers:
    """The guard's reader and the one of one rpyc version."""

    def __init__(self, machine, version):
        self._ours = [machine.program("examples/understand")]
        self._theirs = [machine.python(version), harness.HERE / "read_brine.py"]

    def dumped(self, seed):
        """Values as rpyc writes them."""
        command = [*self._theirs, "dump", seed, COUNT]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                              encoding="ascii", timeout=harness.DEADLINE, check=True)
        return done.stdout.split()

    def ours(self, lines):
        """What the guard makes of them."""
        return filtered(self._ours, lines)

    def theirs(self, lines):
        """What rpyc makes of them."""
        return filtered([*self._theirs, "load"], lines)


@pytest.fixture(scope="module", params=VERSIONS)
def readers(request, machine):
    """The two readers, for each version."""
    return Readers(machine, request.param)


def changed(rng, line):
    """The bytes of a value with a few of them replaced, left out, doubled or added."""
    data = bytearray.fromhex(line)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0:
            data.insert(at, tag(rng))
        elif what == 1:
            del data[at:at + rng.randrange(1, 4)]
        elif what == 2 and at < len(data):
            data[at] = tag(rng)
        elif what == 3:
            data[at:at] = data[at:at + rng.randrange(1, 8)]
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data).hex()


def tag(rng):
    """A byte that means something more often than chance would have it."""
    return rng.randrange(0x20) if rng.random() < 0.6 else rng.randrange(256)


def soup(rng):
    """Bytes that are mostly tags, lengths and digits."""
    digits = b"0123456789-+_ "
    return bytes(
        tag(rng) if rng.random() < 0.7 else rng.choice(digits)
        for _ in range(rng.randrange(1, 24))
    ).hex()


def assert_read_alike(readers, lines):
    """Where the guard accepts, rpyc reads the same value. Gives how many that were."""
    ours = readers.ours(lines)
    accepted = [(line, text) for line, text in zip(lines, ours) if not text.startswith("!")]
    theirs = readers.theirs([line for line, _ in accepted])
    for (line, text), read in zip(accepted, theirs):
        assert not read.startswith("!"), (line, text, read)
        description, written = read.split(" ")
        assert description == text, line
        # rpyc writes the same bytes again; a set it may write in another order.
        assert written == line or "{" in text, (line, written)
    return len(accepted)


def test_all_that_rpyc_writes_is_read_the_same_way(readers):
    """Every value, from every version."""
    lines = readers.dumped(seed=1)
    assert assert_read_alike(readers, lines) == len(lines)


def test_changed_values_are_read_the_same_way_or_refused(readers):
    """Also where a change makes a value that is still one."""
    rng = random.Random(2)
    lines = [changed(rng, line) for line in readers.dumped(seed=2) for _ in range(CHANGES)]
    lines = [line for line in lines if line]
    accepted = assert_read_alike(readers, lines)
    # Some are, and most are not: otherwise this would show nothing.
    assert len(lines) / 50 < accepted < len(lines) / 2


def test_nonsense_is_read_the_same_way_or_refused(readers):
    """What no rpyc wrote."""
    rng = random.Random(3)
    lines = [soup(rng) for _ in range(20000)]
    assert assert_read_alike(readers, lines) > 100


def test_what_rpyc_reads_in_another_form_is_refused(readers):
    """rpyc takes each of these for a value; sent by nobody, they would be judged as one."""
    lines = [
        "16053030303031",  # int("00001")
        "16022b35", "1602205f", "16043131205f", "16035f3130", "1602" + "3531",
        "0e03616263", "0f00000001" + "61", "140100", "1500000000", "0000", "510a",
        "1a115151", "1a11" + "5103", "170000000335" + "3135",
    ]
    read = readers.theirs(lines)
    ours = readers.ours(lines)
    assert all(text.startswith("!") for text in ours), list(zip(lines, ours))
    assert sum(not text.startswith("!") for text in read) >= 9, list(zip(lines, read))
