"""``docs/first-five-minutes.md`` is true: every step is taken as it stands there, and timed."""

import pytest

import walk
from world import PROJECT, World

PAGE = PROJECT / "docs" / "first-five-minutes.md"

#: All steps together take less than this, so that the five minutes are for reading.
LIMIT = 60.0


@pytest.fixture
def world(machine, request):
    """A workstation and the machine of an artist, on which nobody has been."""
    with World(machine, request.config.getoption("--package-venvs")) as made:
        yield made


def test_the_first_five_minutes_are_as_the_page_says(world, shown):
    """Each step works as it stands there, shows what it shows, and all are quick."""
    text = PAGE.read_text(encoding="utf-8")
    with walk.Walker(world) as walker:
        walker.walk(text)
    shown.append("the first five minutes:")
    for prompt, title, took in walker.times:
        took = "%.2f s" % took if isinstance(took, float) else "not run: " + took
        shown.append("| `%s` | `%s` | %s |" % (prompt, title, took))
    taken = [took for _, _, took in walker.times if isinstance(took, float)]
    assert len(taken) > 10, walker.times
    assert sum(taken) < LIMIT, walker.times
    walked = [(prompt, title) for prompt, title, _ in walker.times]
    assert table(text, "step") == walked, "the table of times on the page has other steps"


def test_what_the_test_does_otherwise_than_the_page_is_on_the_page(world):
    """The table of substitutes names each of them."""
    rows = table(PAGE.read_text(encoding="utf-8"), "on the page")
    assert [name for name, _ in rows] == [name for name, _ in world.substitutes()]


@pytest.mark.parametrize(
    "page",
    [
        "```console\nalice$ hrpyc-agent status\nws12\n```",
        "```console\nalice$ hrpyc-agent status\n```",
        "```console\nalice$ hrpyc-agent --version\nerror: of another kind\n```",
        "```console\nalice$ hrpyc-agent connect\nlistening on …\n```",
        "```python x.py\nprint(1)\n```\n```console\nalice$ python x.py\n2\n```",
    ],
)
def test_a_page_that_is_not_true_is_found(world, page):
    """Other output, no output, an error, a server that does not start."""
    with walk.Walker(world) as walker, pytest.raises(AssertionError, match="the page shows"):
        walker.walk(page)


def test_a_page_that_is_true_is_walked_through(world):
    """The same with what is really seen."""
    page = (
        "```python x.py\nprint('one\\ntwo\\nthree')\n```\n"
        "```console\nalice$ python x.py\no…e\n…\nthree\n"
        "alice$ hrpyc-agent doctor\nerror: there is no profile yet\nhint: …\n```"
    )
    with walk.Walker(world) as walker:
        walker.walk(page)
    assert [title for _, title, _ in walker.times] == ["python x.py", "hrpyc-agent doctor"]


def table(text, heading):
    """The first two columns of the table under ``heading``, without backticks."""
    rows = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif heading in cells[:2]:
            inside = True
        elif inside and not cells[0].startswith("--"):
            rows.append((cells[0], cells[1]))
    return rows
