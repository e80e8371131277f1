"""What a script lets go of, Houdini lets go of, in a narrow role too."""

import pytest

import attack
import harness
from attack import Session

#: How many objects of a server its clients hold.
HELD = """(lambda: sum(
    len(each._local_objects._dict) for each in __import__('gc').get_objects()
    if type(each).__name__ == 'Connection' and each._local_objects._dict))()"""

ROUNDS = 40


@pytest.mark.parametrize("version", ["4.1.0", "6.0.2"])
def test_what_is_dropped_while_it_is_called_is_not_held_for_ever(machine, site, version):
    """Methods that are dropped behind their own call, before that has its answer."""
    six = version.startswith("6")
    with machine.server(version) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice", role="read-numeric")
        with Session(server.port, six) as eye, Session(agent.port, six) as session:
            node, look = session.node(), eye.held("eval")
            before = eye.call(look, HELD)
            assert before > 0
            for _ in range(ROUNDS):
                method = session.get(node, "path")
                call = session.message(attack.CALL, method, (), ())
                dropped = session.message(attack.DEL, method, 1)
                session.send(call, dropped)
                assert session.answer(session.seq - 1) == "/obj/sphere1"
                assert session.answer(session.seq) is None
            harness.until("the end of them", lambda: eye.call(look, HELD) <= before + 2)


def test_what_waits_to_be_dropped_is_named_by_nobody_any_more(machine, site):
    """A call behind the drop is denied, and both have their answers."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice", role="read-numeric")
        with Session(agent.port) as session:
            node = session.node()
            named, other = session.get(node, "path"), session.get(node, "name")
            call = session.message(attack.CALL, named, (), ())
            drops = [session.message(attack.DEL, method, 1) for method in (named, other)]
            again = session.message(attack.CALL, named, (), ())
            session.send(call, *drops, again)
            assert session.answer(session.seq - 3) == "/obj/sphere1"
            with pytest.raises(attack.Refused) as denied:
                session.answer(session.seq)
            assert "has not given to this session" in denied.value.message
            assert session.answer(session.seq - 1) is None
            assert session.answer(session.seq - 2) is None
            # It may come again.
            assert session.method(node, "path") == "/obj/sphere1"
