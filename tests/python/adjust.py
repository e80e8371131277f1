"""A short script, as an artist or an assistant writes it: it looks, and then it changes.

The only argument is the port to connect to. What it may not do is shown, and it goes on.
"""

import sys
import traceback

import hrpyc_client as hrpyc

connection, hou = hrpyc.import_remote_module(port=int(sys.argv[1]))
scale = hou.node("/obj/sphere1").parm("scale")
print("the scale is %s" % scale.eval())
try:
    scale.set(2 * scale.eval())
except PermissionError:
    traceback.print_exc(limit=1, file=sys.stdout)
print("the scale is %s" % scale.eval())
