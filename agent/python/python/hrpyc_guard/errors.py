"""What goes wrong, as exceptions that say what to do."""

from typing import Optional


class GuardError(Exception):
    """There is no session with Houdini, or not any more.

    :ivar sentence: what happened and why
    :ivar hint: what to do next, or ``None``
    :ivar code: the guard's code for it, as in its documentation; ``None`` when no guard
        was asked
    """

    def __init__(
        self, sentence: str, hint: Optional[str] = None, code: Optional[str] = None
    ) -> None:
        super().__init__(sentence if hint is None else "%s\nhint: %s" % (sentence, hint))
        self.sentence = sentence
        self.hint = hint
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, Optional[str], Optional[str]]]:
        return type(self), (self.sentence, self.hint, self.code)


class ProfileError(GuardError, LookupError):
    """Nobody has joined here, nothing is called so, or a profile cannot be used."""


class AccessDenied(GuardError, PermissionError):
    """Somebody decided so: access was revoked, has ended, or was never granted."""


class Unavailable(GuardError, ConnectionError):
    """The guard or Houdini is away or busy, or the way there is broken. It may pass."""


class SessionLost(GuardError, EOFError):
    """The session ended in mid-script. What the script held of it is gone."""


class SessionDenied(AccessDenied, SessionLost):
    """The session ended in mid-script because access did."""
