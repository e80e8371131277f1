"""Builds the layout of a shot and writes a manifest. Arguments: the port, and the shot."""

import json
import sys

import hrpyc

PROPS = [("crate", "box", 1.5), ("ball", "sphere", 0.5), ("lamp", "box", 0.25)]


class Layout:
    """One shot's part of the scene."""

    def __init__(self, hou, shot):
        self.hou = hou
        self.shot = shot
        self.log = []

    def clean(self):
        """Removes what an earlier run left."""
        for node in list(self.hou.node("/obj").children()):
            if node.name().startswith(self.shot):
                self.log.append("removed " + node.path())
                node.destroy()

    def watch(self, node):
        """Writes down each parameter that changes on a node."""
        def changed(node, event_type, parm_tuple):
            for parm in parm_tuple:
                self.log.append("%s = %r" % (parm.path(), parm.eval()))

        node.addEventCallback((self.hou.nodeEventType.ParmTupleChanged,), changed)

    def prop(self, name, kind, size):
        """Makes one object with its geometry."""
        geo = self.hou.node("/obj").createNode("geo", node_name="%s_%s1" % (self.shot, name))
        self.watch(geo)
        shape = geo.createNode(kind)
        for parm in shape.parms():
            if parm.name().startswith(("size", "rad")):
                parm.set(size)
        geo.parm("tx").set(size * 2)
        geo.parm("note").set("layout of " + self.shot)
        geo.removeAllEventCallbacks()
        return geo

    def camera(self, focal):
        """Makes the camera. A focal length that is no number is the artist's mistake."""
        cam = self.hou.node("/obj").createNode("cam", "%s_cam1" % self.shot)
        try:
            cam.parm("focal").set(focal)
        except TypeError as error:
            self.log.append("TypeError: " + str(error).split("\n")[0])
            cam.parm("focal").set(35.0)
        return cam

    def manifest(self):
        """What is in the scene now."""
        nodes = {}
        for node in self.hou.node("/obj").children():
            nodes[node.path()] = {
                "type": node.type(),
                "parms": {parm.name(): parm.eval() for parm in node.parms()},
                "children": [child.path() for child in node.children()],
            }
        return nodes


def main():
    """Builds the shot."""
    port, shot = int(sys.argv[1]), sys.argv[2]
    connection, hou = hrpyc.import_remote_module(port=port)
    layout = Layout(hou, shot)
    layout.clean()
    for name, kind, size in PROPS:
        layout.prop(name, kind, size)
    layout.camera("wide")
    try:
        hou.node("/obj").createNode("teapot")
    except Exception as error:
        layout.log.append("%s: %s" % (type(error).__name__, str(error).split("\n")[0]))
    hou.setFrame(1001)
    hou.hipFile.save("/shows/%s.hip" % shot)
    result = {"log": layout.log, "nodes": layout.manifest(), "frame": hou.frame(),
              "hip": hou.hipFile.basename(), "missing": hou.node("/obj/none") is None}
    layout.clean()
    hou.setFrame(1)
    print(json.dumps(result, indent=1, sort_keys=True))
    del hou, connection


if __name__ == "__main__":
    main()
