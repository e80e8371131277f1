"""Works in the scene until something stops it: turns a sphere, one step after the other.

The only argument is the port to connect to. What ends it is printed as one line.
"""

import sys

import hrpyc_client as hrpyc

connection, hou = hrpyc.import_remote_module(port=int(sys.argv[1]))
parm = hou.node("/obj/sphere1").parm("tx")
print("working")
sys.stdout.flush()
steps = 0
try:
    while True:
        parm.set(steps % 360)
        steps += 1
except Exception as error:
    print("stopped after %d steps" % steps)
    print("%s: %s" % (type(error).__name__, str(error).split("\n\n====")[0]))
    sys.exit(3)
