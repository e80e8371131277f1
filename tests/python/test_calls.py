"""What a stock client does works through agent and guard as it does without them."""

import json

import harness


def test_calls_values_and_keyword_arguments_arrive_unchanged(way):
    """Plain calls: each result equals that of the direct connection."""
    direct = way.direct("calls")
    assert all(direct["values"])
    assert direct["keyword"] == "bye ann () [('a', 2), ('z', 1)]"
    assert way.guarded("calls") == direct


def test_the_manuals_example_changes_the_scene(way):
    """``import_remote_module`` with its time synchronisation, nodes and parms."""
    guarded = way.guarded("scene")
    assert guarded["scale"] == 2.0
    assert guarded["synced"] == [1, 1]
    assert guarded["frame"] == 24
    assert guarded == way.direct("scene")


def test_the_server_can_call_back(way):
    """Callbacks run in the client while it waits, and as deep as they like."""
    guarded = way.guarded("callbacks")
    assert guarded["seen"] == [
        ["/obj/watched", "ParmTupleChanged", 1.5],
        ["/obj/watched", "ParmTupleChanged", 2.5],
    ]
    assert guarded["nested"] == 20
    assert guarded == way.direct("callbacks")


def test_exceptions_keep_class_message_and_remote_traceback(way):
    """Each error is the one that the direct connection gives, traceback included."""
    guarded = way.guarded("exceptions")
    assert guarded["operation"]["message"] == "Invalid node type name: nothing"
    assert "createNode" in [function for _, _, function in guarded["operation"]["remote"]]
    assert guarded["zero"]["class"] == "ZeroDivisionError"
    assert guarded["zero"]["traceback"]
    assert guarded["key"]["class"] == "KeyError"
    assert guarded["after"] == 42
    # The module of a class that is not Python's own is not imported by its name.
    assert "remote hou.OperationFailed" in guarded["operation"]["bases"]
    plain = json.loads(json.dumps(guarded).replace('"remote hou.', '"hou.'))
    for error in plain.values():
        if isinstance(error, dict):
            error["bases"] = sorted(error["bases"])
    assert plain == way.direct("exceptions")


def test_iteration_works(way):
    """Generators, buffered iteration, files, slices."""
    guarded = way.guarded("iteration")
    assert guarded["range"] == 499500
    assert guarded["lines"] == ["one\n", "two\n", "three\n"]
    assert guarded == way.direct("iteration")


def test_large_objects_arrive_whole_in_both_directions(way):
    """1 and 8 MiB, random and compressible, to the client and back to the server."""
    guarded = way.guarded("large", sizes=[1 << 20, 8 << 20], limit=120)
    assert [length for _, length, _, _ in guarded["found"]] == [1 << 20] * 2 + [8 << 20] * 2
    for kind, length, here, there in guarded["found"]:
        assert here == there, (kind, length)


def test_200_threads_share_one_connection(way):
    """Each thread gets its own answers."""
    assert way.guarded("threads", count=200, limit=120) == {"wrong": []}


def test_200_connections_work_at_once(way):
    """All are open at the same time; afterwards nothing is left open in the guard."""
    way.guarded("calls")
    before = way.site.guard.descriptors()
    assert way.guarded("connections", count=200, limit=120) == {"wrong": []}
    way.site.assert_each_session_has_its_end()
    harness.until(
        "%d descriptors in the guard" % before,
        lambda: way.site.guard.descriptors() <= before,
    )
