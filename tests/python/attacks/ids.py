"""Objects that are no more or never were, and answers that come too early or to nothing."""

import collections
import contextlib

import attack
from attack import Ended, Ref, Refused, Session
from attacks import attack_of

# Objects that are no more, or never were.


def reuse(hurried, count=30, rounds=60):
    """Has methods that may be called freed, and hopes that ``eval`` gets the id of one.

    ``hurried`` calls them before the guard has seen what became of them.
    """

    def run(s, aim):
        node, root = s.node(), s.root()
        refused = None
        for turn in range(rounds):
            methods = [s.get(node, "path") for _ in range(count)]
            drops = [s.message(attack.DEL, method, 1) for method in methods]
            first = s.seq + 1
            fetches = [s.message(attack.GETATTR, root, "eval") for _ in methods]
            s.send(*drops, *fetches)
            if not hurried:
                found = [s.answer(seq).pack for seq in range(first, first + count)]
                methods = [method for method in methods if method.pack in found]
            first = s.seq + 1
            s.send(*[s.message(attack.CALL, one, (aim.expression,), ()) for one in methods])
            for seq in range(first, first + len(methods)):
                refused = denial(s, seq) or refused
            if aim.reached():
                return True
            if refused is not None and turn >= 5:
                raise refused
        return False

    return run


def denial(s, seq):
    """The guard's denial of a request, if it is one."""
    try:
        s.answer(seq)
    except Refused as error:
        return error if error.by_guard else None
    return None


attack_of("a_freed_id", outcome="either")(reuse(False))
attack_of("a_freed_id_before_the_answer", outcome="either")(reuse(True))


@attack_of(outcome="either", control="none")
def an_id_freed_before_the_guard_has_seen_it(s, aim):
    """Guesses which id a method will have, and drops it before the answer is there."""
    node, root = s.node(), s.root()
    seen, refused, count = collections.Counter(), None, 16
    for _ in range(25):
        guesses = [pack for pack, _ in seen.most_common(count)]
        fetches = [s.message(attack.GETATTR, node, "path") for _ in range(count)]
        first = s.seq - count + 1
        drops = [s.message(attack.DEL, Ref(pack), 1) for pack in guesses]
        forbidden = [s.message(attack.GETATTR, root, "eval") for _ in range(count)]
        calls = [s.message(attack.CALL, Ref(pack), (aim.expression,), ()) for pack in guesses]
        s.send(*fetches)
        s.send(*drops, *forbidden)
        got = [s.answer(seq).pack for seq in range(first, first + count)]
        s.send(*calls)
        for seq in range(first + count, s.seq + 1):
            refused = denial(s, seq) or refused
        if aim.reached():
            return True
        for pack in got:
            seen[pack] += 1
            if pack not in guesses:
                with contextlib.suppress(Refused):
                    s.ask(attack.DEL, Ref(pack), 1)
    if refused is not None:
        raise refused
    return False


@attack_of(outcome="either", control="none")
def a_freed_object(s, aim):
    node = s.node()
    method = s.get(node, "path")
    s.ask(attack.DEL, method, 1)
    return s.call(method)


for _count in [0, -1, -(2**70), 2, 10**6, 2**70, 1.0, True, None, "1"]:
    def _drop(s, aim, count=_count):
        node = s.node()
        s.ask(attack.DEL, node, count)
        return True

    attack_of("drop_%s" % repr(_count).strip("'"), outcome="ends",
              control="none" if _count in (None, "1", 2**70) else "works")(_drop)


@attack_of(outcome="either", control="none")
def drop_what_was_never_given(s, aim):
    return s.ask(attack.DEL, Ref(("hou.ObjNode", 1, 2)), 1) is None


@attack_of(outcome="either", control="none")
def an_id_that_was_never_given(s, aim):
    return s.get(Ref(("hou.ObjNode", 94000000000000, 140000000000000)), "path")


@attack_of(outcome="either", control="none")
def inspect_what_was_never_given(s, aim):
    return s.ask(attack.INSPECT, ("hou.ObjNode", 94000000000000, 140000000000000))


@attack_of(outcome="either", control="none")
def the_id_of_an_object_with_another_class(s, aim):
    function = s.held("eval")
    return s.call(Ref(("builtins.function",) + tuple(function.pack[1:])), aim.expression)


@attack_of(outcome="either", control="none")
def an_id_of_another_session(s, aim):
    with Session(s.sock.getpeername()[1], s.six) as other:
        node = other.node()
        return s.method(node, "path")


# Answers that nobody has asked for.


def unasked(body, kind):
    """Sends an answer, and a ping behind it."""

    def run(s, aim):
        s.root()
        answer = s.payload(kind, 77, body(aim))
        with contextlib.suppress(Ended, Refused):
            s.send(answer)
            s.ask(attack.PING, "x")
        if aim.reached() or s.asked:
            return True
        s.ask(attack.PING, "x")
        return False

    return run


def naming(module):
    """An exception of a module."""
    return lambda aim: ((module, "Boom"), (), (), "")


attack_of("an_exception_that_names_a_module", outcome="ends")(
    unasked(naming("telltale"), attack.EXCEPTION)
)
attack_of("an_answer_with_an_object", outcome="ends")(
    unasked(lambda aim: (attack.REMOTE, ("other.Thing", 3, 4)), attack.REPLY)
)
attack_of("an_answer_that_nobody_awaits", outcome="ends", control="none")(
    unasked(lambda aim: (attack.VALUE, 1), attack.REPLY)
)


# Requests within requests, and at once.


@attack_of()
def many_at_once(s, aim):
    hou = s.hou()
    first = s.seq + 1
    s.send(*[s.message(attack.GETATTR, hou, "__builtins__") for _ in range(50)])
    found = 0
    refused = None
    for seq in range(first, first + 50):
        try:
            s.answer(seq)
            found += 1
        except Refused as error:
            refused = error
    if refused is not None and not found:
        raise refused
    return found == 50


@attack_of()
def a_guess_before_the_answer(s, aim):
    """Uses an object before the guard can know what it is."""
    root = s.root()
    function = s.get(root, "eval")
    s.send(
        s.message(attack.GETATTR, root, "eval"),
        s.message(attack.CALL, function, (aim.expression,), ()),
    )
    s.answer(s.seq - 1)
    s.answer(s.seq)
    return aim.reached()
