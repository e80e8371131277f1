"""``docs/operations.md`` is true: what it shows in a terminal is typed, in a studio at work."""

import pytest

import walk
from world import PROJECT, World

PAGE = PROJECT / "docs" / "operations.md"

#: Before the page is opened: a guard runs, and alice has joined.
AT_WORK = """
```console
ws12$ hrpyc-guard --name ws12 --listen 0.0.0.0:18812 --upstream 127.0.0.1:18811
…
listening on 0.0.0.0:18812
ws12$ hrpyc-certs invite alice --role full --guard ws12.studio.example:18812
…
alice$ hrpyc-agent join
Paste the invite code: …
…
```
"""

#: Between backup and restore.
SINCE = """```console
ws12$ hrpyc-certs invite bob --role full
…
```
"""


@pytest.fixture
def world(machine):
    """A workstation and the machine of an artist."""
    with World(machine, None) as made:
        yield made


def test_each_command_of_the_operations_page_works_and_shows_what_it_says(world):
    """Backup, restore, a stolen laptop, a look at the configuration, in the page's order."""
    text = PAGE.read_text(encoding="utf-8")
    restore = "```console\nws12$ hrpyc-certs restore /backup/"
    assert text.count(restore) == 1
    with walk.Walker(world) as walker:
        walker.walk(AT_WORK + text.replace(restore, SINCE + restore))
    titles = [title for _, title, _ in walker.times]
    for title in ("hrpyc-certs backup", "hrpyc-certs restore", "hrpyc-certs revoke"):
        assert any(title in walked for walked in titles), titles
