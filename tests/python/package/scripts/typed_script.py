"""A script of somebody who has its types checked."""

from typing import Optional

import hrpyc_guard


def radius(server: Optional[str] = None) -> float:
    """The radius of the first sphere, or -1 when Houdini is away."""
    try:
        connection, hou = hrpyc_guard.import_remote_module(server, 18811, "hou", timeout=4.0)
    except hrpyc_guard.Unavailable as error:
        sentence: str = error.sentence
        hint: Optional[str] = error.hint
        code: Optional[str] = error.code
        print(sentence, hint, code)
        return -1.0
    except (hrpyc_guard.AccessDenied, hrpyc_guard.ProfileError):
        raise
    value = float(hou.node("/obj/sphere1/sphere1").parm("radx").eval())
    connection.close()
    return value


def serve() -> int:
    """Starts the server and gives its port."""
    port: int = hrpyc_guard.start_server(port=0, use_thread=True, quiet=True)
    hrpyc_guard.stop_server()
    return port
