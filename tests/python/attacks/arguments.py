"""What calls are given: objects of the client, and of the server where none belong."""

import attack
from attack import Ended, Mine, Refused
from attacks import attack_of


def gives(wrap):
    """Gives a method that may be called an object of the client, as ``wrap`` has it."""

    def run(s, aim):
        try:
            wrap(s, s.get(s.hou(), "node"))
        except Refused as error:
            if error.by_guard and not s.asked:
                raise
        except Ended:
            if not s.asked:
                raise
        # Whatever the server said of it: it has got it.
        return True

    return run


attack_of("a_dict_of_the_client")(gives(lambda s, f: s.method(s.node(), "setParms", Mine())))
attack_of("a_function_of_the_client_as_a_callback")(
    gives(lambda s, f: s.method(
        s.node(), "addEventCallback", (), Mine(("builtins.function", 1, 2))))
)
attack_of("an_object_of_the_client_held_against_a_node")(
    gives(lambda s, f: s.ask(attack.CMP, s.node(), Mine(("hou.Node", 1, 2)), "__eq__"))
)
attack_of("an_exception_of_the_client_at_an_exit")(
    gives(lambda s, f: s.ask(attack.CTXEXIT, s.node(), Mine(("builtins.ValueError", 1, 2))))
)
attack_of("an_object_of_the_client_by_a_ping")(gives(lambda s, f: s.ask(attack.PING, Mine())))
attack_of("an_object_of_the_client")(gives(lambda s, f: s.call(f, Mine())))
attack_of("an_object_of_the_client_in_a_tuple")(gives(lambda s, f: s.call(f, (1, Mine()))))
attack_of("an_object_of_the_client_five_tuples_down")(
    gives(lambda s, f: s.call(f, (((((Mine(),),),),),)))
)
attack_of("an_object_of_the_client_by_keyword")(
    gives(lambda s, f: s.call(f, kwargs=(("path", Mine()),)))
)
attack_of("a_function_as_argument")(gives(lambda s, f: s.call(f, f)))
attack_of("eval_as_argument")(gives(lambda s, f: s.call(f, s.held("eval"))))
attack_of("eval_five_tuples_down_as_argument")(
    gives(lambda s, f: s.call(f, (((((s.held("eval"),),),),),)))
)
attack_of("eval_behind_a_plain_tuple_as_argument")(
    gives(lambda s, f: s.call(f, ((1, 2), ((3, 4), (5, s.held("eval"))))))
)
attack_of("a_class_as_argument")(gives(lambda s, f: s.call(f, s.get(s.hou(), "Node"))))
attack_of("arguments_that_are_an_object_of_the_client", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, Mine(("builtins.tuple", 1, 2)), ()))
)
attack_of("keywords_that_are_an_object_of_the_client", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, ("/obj",), Mine(("builtins.tuple", 1, 2))))
)
attack_of("arguments_that_are_an_object_of_the_server", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, s.get(s.hou(), "__all__"), ()))
)
