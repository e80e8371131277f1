"""A classic server with the scene of the tests, with rpyc's own TLS.

Usage: rpyc_server.py SCENE CERTIFICATE KEY AUTHORITY

It prints ``listening on HOST:PORT`` when clients can connect.
"""

import ssl
import sys

import rpyc.core.service
import rpyc.utils.authenticators
import rpyc.utils.server


def main():
    """Serves until killed."""
    scene, certificate, key, authority = sys.argv[1:]
    sys.path[0] = scene
    server = rpyc.utils.server.ThreadedServer(
        rpyc.core.service.SlaveService,
        hostname="127.0.0.1",
        port=0,
        auto_register=False,
        authenticator=rpyc.utils.authenticators.SSLAuthenticator(
            key, certificate, ca_certs=authority, ssl_version=ssl.PROTOCOL_TLS_SERVER
        ),
    )
    server.logger.disabled = True
    server._listen()
    print("listening on 127.0.0.1:%d" % server.port, flush=True)
    server.start()


if __name__ == "__main__":
    main()
