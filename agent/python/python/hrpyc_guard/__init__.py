"""Drive a Houdini behind ``hrpyc-guard`` from Python.

On the artist's side, with the profile that ``hrpyc-agent join`` made::

    import hrpyc_guard

    connection, hou = hrpyc_guard.import_remote_module("ws12")

The tunnel runs inside this process; no port is opened. In Houdini, where a guard stands in
front of it::

    import hrpyc_guard

    hrpyc_guard.start_server()

``import hrpyc_guard as hrpyc`` is enough for a script that was written for Houdini's own
``hrpyc``.
"""

from ._client import connect, import_remote_module
from ._server import start_server, stop_server
from ._version import __version__
from .errors import (
    AccessDenied,
    GuardError,
    ProfileError,
    SessionDenied,
    SessionLost,
    Unavailable,
)

__all__ = [
    "AccessDenied",
    "GuardError",
    "ProfileError",
    "SessionDenied",
    "SessionLost",
    "Unavailable",
    "__version__",
    "connect",
    "import_remote_module",
    "start_server",
    "stop_server",
]
