"""What is asked of the connection's service: modules, ``eval`` and what else gives any Python."""

import attack
from attacks import attack_of


@attack_of()
def execute(s, aim):
    s.call(s.held("execute"), aim.expression)
    return aim.reached()


@attack_of()
def evaluate(s, aim):
    s.call(s.held("eval"), aim.expression)
    return aim.reached()


@attack_of()
def evaluate_by_its_operator(s, aim):
    s.operator(s.held("eval"), "__call__", aim.expression)
    return aim.reached()


@attack_of()
def execute_asked_of_the_service_in_one(s, aim):
    s.operator(s.root(), "execute", aim.expression)
    return aim.reached()


@attack_of()
def getmodule_asked_of_the_service_in_one(s, aim):
    s.method(s.operator(s.root(), "getmodule", "os"), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os(s, aim):
    s.method(s.module("os"), "mkdir", aim.path)
    return aim.reached()


@attack_of(control="none")
def module_os_as_a_tuple(s, aim):
    s.method(s.module(("os",)), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os_by_keyword(s, aim):
    s.method(s.call(s.held("getmodule"), kwargs=(("name", "os"),)), "mkdir", aim.path)
    return aim.reached()


@attack_of(outcome="either")
def module_os_after_hou_by_keyword_twice(s, aim):
    pairs = (("name", "hou"), ("name", "os"))
    s.method(s.call(s.held("getmodule"), kwargs=pairs), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os_by_the_operator_of_getmodule(s, aim):
    s.method(s.operator(s.held("getmodule"), "__call__", "os"), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def the_globals_of_getmodule(s, aim):
    opener = s.chain(s.held("getmodule"), "__func__", "__globals__", "[__builtins__]", "[open]")
    s.call(opener, aim.path, "w")
    return aim.reached()


@attack_of()
def builtins_that_may_be_held(s, aim):
    s.call(s.get(s.module("builtins"), "open"), aim.path, "w")
    return aim.reached()


@attack_of()
def getconn(s, aim):
    return s.method(s.root(), "getconn")


@attack_of()
def conn_of_the_service(s, aim):
    s.method(s.chain(s.root(), "_conn", "_local_root"), "execute", aim.expression)
    return aim.reached()


@attack_of()
def config_of_the_connection(s, aim):
    return s.chain(s.root(), "_conn", "_config", "[allow_pickle]") is True


@attack_of()
def class_of_the_service(s, aim):
    return s.chain(s.root(), "__class__", "__init__", "__globals__")


@attack_of()
def namespace_item(s, aim):
    s.operator(s.held("namespace"), "__setitem__", "mine", 1)
    return s.operator(s.held("namespace"), "__getitem__", "mine") == 1


@attack_of()
def namespace_attribute(s, aim):
    return s.method(s.held("namespace"), "clear") is None


@attack_of()
def namespace_in_pieces(s, aim):
    s.ask(attack.BUFFITER, s.held("namespace"), 10)
    return True


@attack_of()
def eval_held_against_a_node(s, aim):
    s.ask(attack.CMP, s.node(), s.held("eval"), "__eq__")
    return True


@attack_of()
def eval_as_an_event_callback(s, aim):
    node = s.node()
    s.method(node, "addEventCallback", (), s.held("eval"))
    s.method(node, "removeAllEventCallbacks")
    return True


@attack_of()
def eval_by_a_ping(s, aim):
    s.call(s.ask(attack.PING, s.held("eval")), aim.expression)
    return aim.reached()


@attack_of()
def eval_in_a_tuple_by_a_ping(s, aim):
    s.call(s.ask(attack.PING, ("x", (s.held("eval"), 1)))[1][0], aim.expression)
    return aim.reached()
