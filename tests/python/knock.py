"""Connects as any script with a stock rpyc does, and prints how far it gets.

The only argument is the port to connect to.
"""

import sys

import rpyc

try:
    connection = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
    print("inside: %s" % connection.modules.os.getcwd())
except Exception as error:
    # Below the message rpyc adds the remote traceback.
    sys.exit("%s: %s" % (type(error).__name__, str(error).split("\n\n====")[0]))
