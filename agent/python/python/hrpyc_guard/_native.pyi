"""The native half of ``hrpyc_guard``. Private: use the package."""

import os
from typing import Optional, Union, final

__all__ = ["Session", "doctor", "finish", "open"]

_Path = Union[str, "os.PathLike[str]"]

@final
class Session:
    """A session that a guard has accepted."""

    @property
    def descriptor(self) -> int:
        """Python's end of the socket pair, for ``socket.socket(fileno=...)``, once."""
    @property
    def inherited(self) -> list[int]:
        """The descriptors of which a forked child has copies."""
    def ending(self) -> Optional[tuple[bool, str, Optional[str], Optional[str]]]:
        """How the session ended: whether somebody decided so, sentence, hint, and code.

        ``None`` while it lives, and when Python closed it.
        """

def open(
    *,
    server: Optional[str],
    upstream: Optional[str],
    profile: Optional[str],
    config_dir: Optional[_Path],
    timeout: float,
    client: str,
) -> Session:
    """Opens a session within ``timeout`` seconds, or raises a ``GuardError``."""

def doctor(
    *,
    server: Optional[str],
    profile: Optional[str],
    config_dir: Optional[_Path],
    client: str,
) -> tuple[bool, str, str]:
    """Looks at each step of the way: whether all is well, a text, and the same in JSON."""

def finish() -> None:
    """Sends what was written last and ends the sessions."""
