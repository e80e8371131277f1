"""``python -m hrpyc_guard doctor``: why does it not connect?"""

import argparse
import json
import sys
from typing import Any, Optional

from .errors import GuardError


def main(arguments: "Optional[list[str]]" = None) -> int:
    """Runs the command line.

    :param arguments: the words after the program's name; this process's without it.
    :returns: 0 when all is well, 1 when something is not.
    """
    parser = argparse.ArgumentParser(prog="python -m hrpyc_guard")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="look at each step of the way to Houdini")
    doctor.add_argument("server", nargs="?", help="a profile, a guard, or PROFILE:GUARD")
    doctor.add_argument("--profile", help="the profile to use, when several would do")
    doctor.add_argument("--config-dir", help="where the profiles are")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        return _doctor(options)
    except GuardError as error:
        sys.stderr.write("error: %s\n" % error)
        return 1


def _doctor(options: Any) -> int:
    from . import _link

    well, text, report = _link.doctor(options.server, options.profile, options.config_dir)
    check = _ask_houdini(options) if well else None
    if options.json:
        found = json.loads(report)
        if check is not None:
            found["checks"].append(check)
            found["ok"] = check["ok"]
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(text + "\n")
        if check is not None:
            mark = "ok    " if check["ok"] else "FAILED"
            sys.stdout.write("%s  %-12s %s\n" % (mark, check["check"], check["text"]))
            if check["hint"]:
                sys.stdout.write("%21shint: %s\n" % ("", check["hint"]))
    return 0 if well and (check is None or check["ok"]) else 1


def _ask_houdini(options: Any) -> "dict[str, Any]":
    """Asks Houdini's Python which rpyc it has, with ours."""
    from ._client import connect
    from ._link import our_rpyc

    try:
        connection = connect(
            options.server, profile=options.profile, config_dir=options.config_dir
        )
        try:
            version = connection.modules["rpyc"].version.version
            theirs = ".".join(str(part) for part in tuple(version))
        finally:
            connection.close()
    except GuardError as error:
        return {"check": "rpyc", "ok": False, "text": error.sentence, "hint": error.hint}
    text = "Houdini's rpyc %s answers our %s" % (theirs, our_rpyc())
    return {"check": "rpyc", "ok": True, "text": text, "hint": None}


if __name__ == "__main__":
    sys.exit(main())
