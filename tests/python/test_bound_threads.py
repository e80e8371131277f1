"""Clients and servers of which each thread has a partner at the other end.

With ``RPYC_BIND_THREADS=true`` rpyc 5.3 and 6 put the numbers of two threads in front of each
message, and an answer goes to the thread that it names.
"""

import re

import pytest

MIB = 1 << 20


@pytest.mark.parametrize("version", ["5.3.1", "6.0.2"])
def test_the_thread_that_asks_too_much_is_told_and_no_other(machine, site, version):
    """In a narrow role, all at once; and each goes on."""
    bound = machine.moved("env", "RPYC_BIND_THREADS=true")
    sizes = [2 * MIB + number * 10_000 for number in range(6)]
    with bound.server(version) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice", role="read-numeric")
        wanted = dict(sizes=sizes, server=server.port)
        with bound.artist(version, "great_in_threads", agent.port, **wanted) as artist:
            result = artist.result(60)
    assert result["bound"] is True
    for size, came in zip(sizes, result["found"], strict=True):
        assert len(came) == 3
        for set_to, name, small in came:
            assert (set_to["class"], name["class"]) == ("PermissionError",) * 2, came
            told = re.search(r"a request of (\d+) bytes is greater", set_to["message"])
            # As it travels: noise, and what it is packed in.
            assert told and 0 < int(told[1]) - size < 5_000, (size, set_to["message"])
            assert "the answer of" in name["message"], name
            assert small == "scale"
