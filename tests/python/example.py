"""The example of Houdini's manual. The only argument is the port to connect to.

``hrpyc_client`` stands in for the ``hrpyc`` of a Houdini installation.
"""

import sys

import hrpyc_client as hrpyc

connection, hou = hrpyc.import_remote_module(port=int(sys.argv[1]))

node = hou.node("/obj/sphere1")
node.parm("scale").set(2.0)

print("%s is now %s" % (node.parm("scale").path(), node.parm("scale").eval()))
