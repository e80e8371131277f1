"""A classic rpyc server with the scene, started as ``hrpyc.start_server`` starts it.

Run it with the Python of an environment that has rpyc::

    python hrpyc_server.py [--host 127.0.0.1] [--port 0] [--service SlaveService]

It prints ``listening on HOST:PORT`` when clients can connect. Houdini's own function binds
0.0.0.0; this one binds loopback unless told otherwise. The service is one of rpyc's, or
``Greeting``, which is Houdini's and has a word for the client before the client has one for it.
"""

import argparse
import os
import sys


def start_server(host, port, service):
    """Makes the server. ``port`` 0 takes a free one."""
    import rpyc.core.service
    import rpyc.utils.server

    class Greeting(rpyc.core.service.SlaveService):
        """Says a word and waits for the answer."""

        def on_connect(self, conn):
            """Before anything is served."""
            super().on_connect(conn)
            conn.ping(timeout=30)

    return rpyc.utils.server.ThreadedServer(
        Greeting if service == "Greeting" else getattr(rpyc.core.service, service),
        hostname=host,
        port=port,
        reuse_addr=True,
        auto_register=False,
    )


def main():
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--service", default="SlaveService")
    options = parser.parse_args()
    # Only the served scene is to be found, not the clients beside this file.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[0] = os.path.join(own, "scene")
    server = start_server(options.host, options.port, options.service)
    server.logger.disabled = True
    # Listen before saying so; ``start`` would do it, and does it only once.
    server._listen()
    sys.stdout.write("listening on %s:%d\n" % (options.host, server.port))
    sys.stdout.flush()
    server.start()


if __name__ == "__main__":
    main()
