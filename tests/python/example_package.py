"""The example of Houdini's manual, through the Python package.

Usage: python example_package.py CONFIG_DIR
"""

import sys

import hrpyc_guard as hrpyc

connection, hou = hrpyc.import_remote_module(config_dir=sys.argv[1])
node = hou.node("/obj/sphere1")
node.parm("scale").set(3.0)
print("%s/scale is now %s, set by %s" % (node.path(), node.parm("scale").eval(), hrpyc.__name__))
