"""Walks through a page of the documentation as somebody new would: types what it says to type,
and compares what is seen then with what it shows.

A ``console`` block is typed: what stands behind a prompt such as ``alice$`` is a command of
alice, and the lines under it are what she sees. In them ``…`` stands for anything, and alone on a
line for any number of lines. A ``python`` block with a file name is saved there first. Blocks
with the word ``package`` need the Python package, and an interpreter that has it.
"""

import os
import pty
import re
import shlex
import subprocess
import threading
import time

import harness

#: Commands that go on; such a step is over when all that the page shows was seen.
STAYING = {("hrpyc-guard",), ("hrpyc-agent", "connect")}

#: What a terminal is told about colours.
COLOURS = re.compile("\x1b\\[[0-9;]*m")

PROMPT = re.compile(r"^([a-z0-9]+[$#]) (.*)$")


class Block:
    """A code block of a page."""

    def __init__(self, info, lines):
        self.language, *self.words = info.split() or [""]
        self.lines = lines

    def text(self):
        """What is in it."""
        return "".join(line + "\n" for line in self.lines)


def blocks(text):
    """The fenced code blocks of a page."""
    found = []
    inside = None
    for line in text.splitlines():
        if line.startswith("```"):
            if inside is None:
                inside = Block(line[3:], [])
            else:
                found.append(inside)
                inside = None
        elif inside is not None:
            inside.lines.append(line)
    assert inside is None, "a code block has no end"
    return found


class Step:
    """A command, and what is seen after it."""

    def __init__(self, prompt, command):
        self.prompt = prompt
        self.command = command
        self.seen = []

    def title(self):
        """The command without its options."""
        words = self.command.split()
        options = [i for i, word in enumerate(words) if word.startswith("--")]
        return " ".join(words[: min([3, *options])])

    def stays(self):
        """Does the program go on?"""
        return tuple(self.title().split()) in STAYING

    def fails(self):
        """Does the page show an error?"""
        return any(line.startswith(("error: ", "Traceback ")) for line in self.seen)

    def text(self):
        """What the page shows."""
        return "\n".join(self.seen)

    def pattern(self):
        """What the output must match."""
        parts = []
        for line in self.seen:
            if line == "…":
                parts.append(r"(?:[^\n]*\n)*?")
            else:
                parts.append(re.escape(line).replace("…", r"[^\n]*") + r"\n")
        return "".join(parts)


def steps(block):
    """The steps of a ``console`` block."""
    found = []
    for line in block.lines:
        prompt = PROMPT.match(line)
        if prompt:
            found.append(Step(*prompt.groups()))
        else:
            assert found, "a console block begins with a prompt, not with %r" % line
            found[-1].seen.append(line)
    return found


class Terminal:
    """A program in a terminal of its own, and what is seen there."""

    def __init__(self, command, env, cwd):
        self.text = ""
        self._changed = threading.Condition()
        self._ended = False
        self._master, slave = pty.openpty()
        try:
            self._process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        """Until the last program that has the terminal is gone."""
        pending = b""
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:
                part = b""
            pending += part
            with self._changed:
                self.text = COLOURS.sub("", pending.decode("utf-8", "replace"))
                self.text = self.text.replace("\r\n", "\n")
                self._ended = not part
                self._changed.notify_all()
            if not part:
                return

    def type(self, line):
        """Types a line."""
        os.write(self._master, line.encode() + b"\n")

    def see(self, found, what):
        """Waits until ``found`` likes the text; it must before the program ends."""
        end = time.monotonic() + harness.DEADLINE
        with self._changed:
            while not found(self.text):
                left = end - time.monotonic()
                assert not self._ended and left > 0, "%s; seen was:\n%s" % (what, self.text)
                self._changed.wait(left)

    def end(self):
        """Waits for the end, and for all that was printed. Gives the exit code."""
        code = self._process.wait(harness.DEADLINE)
        self._reader.join(harness.DEADLINE)
        return code

    def close(self):
        """Ends the program if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join(harness.DEADLINE)
        os.close(self._master)


class Walker:
    """Somebody who does what pages say, with ``world`` to do it in.

    ``world`` gives what to run for a step, in which environment and folder, what to answer,
    whether it can be run at all, and how names on the page and in the world are told from each
    other.
    """

    def __init__(self, world):
        self.world = world
        self.times = []
        self._open = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for terminal in reversed(self._open):
            terminal.close()

    def walk(self, text):
        """Does all that the page says. ``times`` then has prompt, title and seconds of each
        step, or why it was left out."""
        for block in blocks(text):
            missing = "package" in block.words and self.world.package_missing()
            if block.language == "python" and not missing:
                self._python(block)
            elif block.language == "console":
                for step in steps(block):
                    why = missing or self.world.cannot(step)
                    took = why or self._take(step, "package" in block.words)
                    self.times.append((step.prompt, step.title(), took))

    def _python(self, block):
        if block.words[:1] == ["houdini"]:
            began = time.monotonic()
            self.world.houdini(block.text())
            self.times.append(("houdini", block.lines[-1], time.monotonic() - began))
        else:
            files = [word for word in block.words if word.endswith(".py")]
            for name in files:
                self.world.save(name, block.text())

    def _take(self, step, package):
        command, env, cwd = self.world.command(step, shlex.split(step.command), package)
        began = time.monotonic()
        terminal = Terminal(command, env, cwd)
        self._open.append(terminal)
        for question, answer in self.world.answers(step):
            terminal.see(lambda text: question in text, "%r is not asked" % question)
            terminal.type(answer)
        pattern = step.pattern()
        what = "after `%s` the page shows:\n%s\n" % (step.command, step.text())
        if step.stays():
            terminal.see(lambda text: re.match(pattern, self.world.as_on_page(text)), what)
            return time.monotonic() - began
        code = terminal.end()
        took = time.monotonic() - began
        text = terminal.text
        assert re.fullmatch(pattern, self.world.as_on_page(text)), what + "seen was:\n" + text
        assert (code != 0) == step.fails(), "%s exit code: %d\n%s" % (what, code, text)
        self.world.saw(text)
        return took
