"""A hostile server against a script that opens its tunnel itself, behind a guard that does
not look: the package stands alone."""

import pytest

import reverse_attacks


@pytest.fixture(scope="module", params=["4.1.0", "5.3.1", "6.0.2"])
def met(request, machine, package):
    """All attacks of a version on itself."""
    version = request.param
    return reverse_attacks.Met(
        machine, (version, version), role=reverse_attacks.READS_NOTHING,
        package=package.python(version))


def test_no_attack_works_through_the_package_alone(met):
    """Nothing was got, nothing was made, nothing was changed."""
    met.assert_no_attack_works()


def test_the_script_goes_on_and_each_refusal_is_told(met):
    """The call has its answer and the connection lives; the server gets a sentence."""
    met.assert_refused_at_the_artists_end()


def test_what_honest_scripts_do_goes_on_working_through_the_package(met):
    """Callbacks, event handlers, lists, dicts, streams, exceptions of Python's own."""
    met.assert_honest_scripts_work()
