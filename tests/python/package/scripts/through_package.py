"""Runs the tasks of ``artist.py`` over connections of the package, and prints the same JSON.

    python through_package.py direct|package ADDRESS TASKS

``ADDRESS`` and ``TASKS`` are JSON: keyword arguments for ``connect``, and a list of pairs
``[task, arguments]``. With ``direct`` the tasks run as they stand, on plain rpyc. The only
line of each task that differs is the one that connects.
"""

import json
import sys

import artist
import hrpyc_client


def use_the_package(address):
    """Has the tasks connect through the package, in place of the maker's way."""
    import hrpyc_guard

    def connect(_port):
        return hrpyc_guard.connect(**address)

    def import_remote_module(server=None, port=None, module_name="hou"):
        return hrpyc_guard.import_remote_module(module_name=module_name, **address)

    artist.connect = connect
    hrpyc_client.import_remote_module = import_remote_module


def main():
    """Runs the tasks, one after the other."""
    way, address, tasks = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if way == "package":
        use_the_package(address)
    for name, arguments in tasks:
        artist.say(task=name, result=artist.TASKS[name](address["port"], **arguments))


if __name__ == "__main__":
    main()
