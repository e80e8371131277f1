"""What scripts do with the installed package, one task a run.

    python client.py TASK [ARGUMENTS in JSON]

Each task prints JSON, one object a line; the last line is its result.
"""

import json
import sys

from client_tasks import TASKS, endings, errors, modules, processes, say, server, threads


def main():
    """Runs the task that the command line names."""
    name = sys.argv[1]
    arguments = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    say(**TASKS[name](**arguments))


if __name__ == "__main__":
    main()
