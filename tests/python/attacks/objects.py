"""From an object of the scene to the Python behind it, by names and by operators."""

import contextlib

import attack
from attack import Mine, Refused
from attacks import attack_of

# Python behind an object.

for _name in ["__class__", "__init__", "__reduce__", "__reduce_ex__", "__getattribute__",
              "__dict__", "__module__", "__setattr__", "__subclasshook__", "__dir__",
              "__format__", "__init_subclass__", "__weakref__", "__new__", "_parent"]:
    attack_of("attribute_%s_of_a_node" % _name)(
        lambda s, aim, name=_name: s.ask(attack.GETATTR, s.node(), name) or True
    )
for _name in ["__globals__", "__code__", "__builtins__", "__closure__", "__defaults__", "__call__",
              "__get__", "__class__", "__dict__", "__kwdefaults__", "__wrapped__"]:
    attack_of("attribute_%s_of_a_function" % _name,
              control="none" if _name == "__wrapped__" else "works")(
        lambda s, aim, name=_name: s.ask(attack.GETATTR, s.get(s.hou(), "node"), name) or True
    )
for _name in ["__func__", "__self__", "__class__", "__reduce__"]:
    attack_of("attribute_%s_of_a_method" % _name)(
        lambda s, aim, name=_name: s.get(s.get(s.node(), "path"), name)
    )
for _name in ["__subclasses__", "__mro__", "mro", "__bases__", "__base__", "__dict__",
              "__init__", "__new__", "__call__"]:
    attack_of("attribute_%s_of_a_class" % _name)(
        lambda s, aim, name=_name: s.get(s.get(s.hou(), "Node"), name)
    )


@attack_of()
def globals_of_a_function(s, aim):
    node = s.get(s.hou(), "node")
    opener = s.chain(node, "__globals__", "[__builtins__]", "[open]")
    s.call(opener, aim.path, "w")
    return aim.reached()


@attack_of()
def builtins_of_hou(s, aim):
    s.call(s.chain(s.hou(), "__builtins__", "[open]"), aim.path, "w")
    return aim.reached()


@attack_of()
def dict_of_hou(s, aim):
    s.call(s.chain(s.hou(), "__dict__", "[__builtins__]", "[open]"), aim.path, "w")
    return aim.reached()


@attack_of()
def a_module_that_hou_has(s, aim):
    system = s.chain(s.hou(), "threading", "_sys", "modules", "[os]")
    s.method(system, "mkdir", aim.path)
    return aim.reached()


@attack_of()
def loader_of_hou(s, aim):
    s.method(s.get(s.hou(), "__loader__"), "get_data", s.get(s.hou(), "__file__"))
    return True


@attack_of()
def subclasses_of_object(s, aim):
    base = s.chain(s.node(), "__class__", "__base__", "__base__")
    return s.method(base, "__subclasses__")


@attack_of()
def unbound_method_of_a_class(s, aim):
    setter = s.chain(s.hou(), "Parm", "set")
    parm = s.parm("/obj/box1/ty")
    s.call(setter, parm, 7.5)
    return s.method(parm, "eval") == 7.5


@attack_of()
def a_class_is_called(s, aim):
    return s.call(s.chain(s.hou(), "HipFile"))


# Operators with names.

for _name, _args in [("__getattribute__", ("_parent",)), ("__reduce_ex__", (2,)), ("__dir__", ()),
                     ("__setattr__", ("planted", 1)), ("__class__", ()), ("__format__", ("",)),
                     ("__sizeof__", ()), ("createNode", ("geo",)), ("__init_subclass__", ())]:
    attack_of("operator_%s" % _name, control="none" if _name == "__class__" else "works")(
        lambda s, aim, name=_name, args=_args: (
            s.operator(s.node("/obj"), name, *args) or True
        )
    )


@attack_of(outcome="either")
def format_on_a_text(s, aim):
    return "module" in s.operator("{0.__init__.__globals__}", "format", s.node())


@attack_of(outcome="either")
def format_on_a_text_by_a_comparison(s, aim):
    text = s.ask(attack.CMP, "{0.__init__.__globals__[threading]}", s.node(), "format")
    return "module" in text


@attack_of(outcome="either")
def format_map_on_a_text(s, aim):
    with contextlib.suppress(Refused):
        s.operator("{mine}", "format_map", Mine())
    return bool(s.asked)


@attack_of(outcome="either")
def attribute_of_a_text(s, aim):
    return s.get("text", "format")


@attack_of(outcome="either")
def attribute_of_a_number_that_is_a_class(s, aim):
    return s.chain(1, "__class__", "__base__")


for _name, _other in [("__getattribute__", "_parent"), ("__format__", ""),
                      ("__delattr__", "_type_name"),
                      ("__reduce_ex__", 2), ("createNode", "geo"), ("addEventCallback", None)]:
    attack_of("comparison_%s" % _name, outcome="either",
              control="none" if _other is None else "works")(
        lambda s, aim, name=_name, other=_other: (
            s.ask(attack.CMP, s.node("/obj"), other, name) is not Ellipsis
        )
    )


@attack_of(outcome="either")
def comparison_that_calls(s, aim):
    s.ask(attack.CMP, s.held("eval"), aim.expression, "__call__")
    return aim.reached()


@attack_of(outcome="either")
def comparison_that_gets_an_item(s, aim):
    return s.ask(attack.CMP, s.get(s.hou(), "__all__"), 0, "__getitem__") == "Error"


@attack_of(outcome="either")
def slicing_with_a_name_to_fall_back_to(s, aim):
    namespace = s.held("namespace")
    builtins = s.module("builtins")
    s.ask(attack.OLDSLICING, builtins, "none", "exec", aim.expression, namespace, ())
    return aim.reached()


@attack_of(outcome="either")
def slicing_of_a_node(s, aim):
    s.ask(attack.OLDSLICING, s.node("/obj"), "none", "createNode", "geo", "sliced", ())
    return True


@attack_of()
def pickled_node(s, aim):
    return isinstance(s.ask(attack.PICKLE, s.node(), 2), bytes)


@attack_of(outcome="either")
def pickled_text(s, aim):
    return isinstance(s.ask(attack.PICKLE, "text", 2), bytes)


@attack_of()
def names_of_eval(s, aim):
    return s.ask(attack.DIR, s.held("eval"))


@attack_of()
def text_of_the_namespace(s, aim):
    return s.ask(attack.REPR, s.held("namespace"))


@attack_of()
def ten_billion_items(s, aim):
    method = s.get(s.node("/obj"), "children")
    s.ask(attack.BUFFITER, s.get(s.hou(), "__all__"), 10**10)
    return method


# Names that look like others.

for _name in ["path ", " path", "path.", "path\0", "pat\u04bb", "\uff50ath", "path\u200b", "",
              "__class__ ",
              "node.__globals__", "path\n", "PATH", "\ufeffpath", "_\u005fclass__\u0301"]:
    attack_of("name_%s" % ascii(_name), control="none")(
        lambda s, aim, name=_name: s.get(s.node(), name)
    )
for _name in ["hou ", "hou.", ".hou", "HOU", "h\u03bfu", "\uff48ou", "hou\0", "os.path",
              "hou.session",
              "hou.threading", "hou/../os", "builtins.open", "importlib", "importlib.util.os", ""]:
    attack_of("module_%s" % ascii(_name),
              control="works" if _name in ("os.path", "importlib") else "none")(
        lambda s, aim, name=_name: s.module(name)
    )
