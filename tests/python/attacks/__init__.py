"""What clients try that want more than their role gives: one function for each attack.

It gets a session and an aim, and gives something true when it has reached what it wanted. The
modules say what is attacked; ``test_attacks.py`` runs them all.
"""

import collections

VERSIONS = ["4.1.0", "4.1.5", "5.3.1", "6.0.2"]
#: One of each family.
FAMILIES = ["4.1.0", "6.0.2"]
ROLES = ["read-only", "read-numeric"]

Attack = collections.namedtuple("Attack", "run outcome control roles versions")
ATTACKS = {}


def attack_of(name=None, outcome="denied", control="works", roles=None, versions=None):
    """Adds an attack. It gives something true when it has reached what it wanted."""

    def add(function):
        key = name or function.__name__
        assert key not in ATTACKS, key
        ATTACKS[key] = Attack(function, outcome, control, roles or ROLES, versions or VERSIONS)
        return function

    return add


class Aim:
    """What an attack wants: that a file is made by the server."""

    def __init__(self, path):
        self.path = str(path)
        self.expression = "open(%r, 'w').close()" % self.path
        self._file = path

    def reached(self):
        """Is the file there?"""
        return self._file.exists()
