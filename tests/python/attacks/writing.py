"""What a narrow role may not change."""

import attack
from attack import Mine
from attacks import attack_of

# Attributes.


@attack_of()
def set_an_attribute_of_hou(s, aim):
    s.ask(attack.SETATTR, s.hou(), "planted", 1)
    return s.get(s.hou(), "planted") == 1


@attack_of()
def replace_a_function_of_hou(s, aim):
    s.ask(attack.SETATTR, s.hou(), "OperationFailed", Mine(("builtins.function", 1, 2)))
    return True


@attack_of()
def set_an_attribute_of_a_node(s, aim):
    s.ask(attack.SETATTR, s.node(), "_type_name", "other")
    return s.method(s.node(), "type") == "other"


@attack_of()
def delete_an_attribute_of_hou(s, aim):
    s.ask(attack.DELATTR, s.hou(), "ObjectWasDeleted")
    return True


@attack_of(control="none")
def set_an_attribute_of_the_service(s, aim):
    s.ask(attack.SETATTR, s.root(), "planted", 1)
    return True


# Writing.


@attack_of(roles=["read-only"])
def write_a_number(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.method(parm, "set", 4.5)
    return s.method(parm, "eval") == 4.5


@attack_of(roles=["read-only"])
def write_a_number_by_the_operator(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.operator(parm, "set", 5.5)
    return s.method(parm, "eval") == 5.5


@attack_of(outcome="either", roles=["read-only"])
def write_a_number_by_a_comparison(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.ask(attack.CMP, parm, 6.5, "set")
    return s.method(parm, "eval") == 6.5


@attack_of()
def write_a_text(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.method(parm, "set", "`rm`")
    return s.method(parm, "eval") == "`rm`"


@attack_of()
def write_a_text_by_keyword(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.call(s.get(parm, "set"), kwargs=(("value", "keyword"),))
    return s.method(parm, "eval") == "keyword"


def writes_twice(first, second):
    """Gives ``set`` the same keyword twice. Python takes the last."""

    def run(s, aim):
        parm = s.parm("/obj/sphere1/note")
        s.call(s.get(parm, "set"), kwargs=(("value", first), ("value", second)))
        return s.method(parm, "eval") == second

    return run


attack_of("write_a_text_by_keyword_behind_a_number", outcome="either")(writes_twice(2.0, "twice"))


@attack_of(control="none")
def write_a_text_in_a_tuple(s, aim):
    return s.method(s.parm("/obj/sphere1/note"), "set", (1.0, "text")) or True



@attack_of(control="none")
def write_bytes(s, aim):
    return s.method(s.parm("/obj/sphere1/note"), "set", b"text") or True


@attack_of(outcome="either", control="none")
def write_a_text_by_a_keyword_in_bytes(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.call(s.get(parm, "set"), kwargs=((b"value", "bytes"),))
    return s.method(parm, "eval") == "bytes"


@attack_of()
def create_a_node(s, aim):
    return s.method(s.node("/obj"), "createNode", "geo")


@attack_of()
def destroy_a_node(s, aim):
    return s.method(s.node("/obj/cam1"), "destroy") is None


@attack_of()
def rename_a_node(s, aim):
    return s.method(s.node("/obj/box1"), "setName", "box1_renamed") is None


@attack_of()
def save_the_scene(s, aim):
    return s.method(s.get(s.hou(), "hipFile"), "save", "other.hip") is None


@attack_of()
def move_the_time(s, aim):
    return s.method(s.hou(), "setFrame", 24.0) is None


@attack_of()
def private_function_of_hou(s, aim):
    return s.method(s.hou(), "_syncCounts")
