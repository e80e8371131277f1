"""What is in the wheel, and that nothing else is needed."""

import email
import os
import subprocess
import sys
import zipfile

import pytest

import harness
import kit


@pytest.fixture(scope="session")
def wheel(package):
    """The wheel that was installed."""
    found = package.wheel()
    if found is None:
        pytest.skip("the wheel is no longer where it was installed from")
    return found


@pytest.fixture
def unzipped(wheel, desk):
    """The wheel, unzipped by Python's own means."""
    target = desk.folder / "unzipped"
    done = desk.run(desk.package.python(), "-m", "zipfile", "-e", wheel, target)
    assert done.returncode == 0, done
    return target


def test_the_wheel_holds_what_it_must_and_nothing_else(wheel):
    """Types, the native part, no tests and no sources; one wheel for every Python."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        said = email.message_from_string(archive.read(metadata).decode("utf-8"))
    assert "-cp39-abi3-" in wheel.name, wheel
    assert {"hrpyc_guard/__init__.py", "hrpyc_guard/__main__.py", "hrpyc_guard/py.typed",
            "hrpyc_guard/_native.pyi"} <= set(names), names
    assert len([name for name in names if name.startswith("hrpyc_guard/_native")
                and name.endswith(".so")]) == 1, names
    endings = (".py", ".pyi", ".so", "py.typed")
    for name in names:
        assert name.startswith("hrpyc_guard"), name
        assert ".dist-info/" in name or name.endswith(endings), name
        assert "test" not in name.lower(), name
    assert said["Requires-Python"] == ">=3.9", said
    requires = ["".join(sorted(r.replace(" ", "").replace("rpyc", "", 1).split(",")))
                for r in said.get_all("Requires-Dist") if "extra" not in r]
    assert requires == ["<7>=4.1"], said.get_all("Requires-Dist")


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_the_unzipped_wheel_on_pythonpath_is_enough(desk, machine, unzipped, version):
    """With a Python that has rpyc and never heard of the package."""
    desk.put_client()
    python = machine.python(version)
    env = desk.env(PYTHONPATH=str(unzipped))
    where = desk.start(python, "client.py", "where", env=env).result()
    assert where["package"].startswith(str(unzipped)), where
    assert where["native"].startswith(str(unzipped)), where
    with machine.server(version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        kit.join_at(desk, site, "alice")
        program = desk.start(python, "client.py", "example", env=env)
        assert program.result() == {"scale": 2.0, "seen": [7], "listening": []}
        kit.assert_quiet(program)
        done = desk.run(python, "-m", "hrpyc_guard", "doctor", env=env)
        assert done.returncode == 0, done


@pytest.fixture(scope="session")
def mypy():
    """The type checker beside the test runner."""
    if subprocess.run([sys.executable, "-c", "import mypy"], check=False).returncode:
        pytest.skip("mypy is not installed beside pytest")
    return [sys.executable, "-m"]


def checked(command, desk, **env):
    """Runs a type checker on the desk."""
    return subprocess.run(
        [str(word) for word in command], capture_output=True, encoding="utf-8", check=False,
        env=desk.env(MYPY_CACHE_DIR=str(desk.folder / "mypy"), **env), cwd=desk.work,
        timeout=120)


def test_a_users_script_passes_strict_type_checks(mypy, desk):
    """The installed package carries its types."""
    script = desk.put(kit.SCRIPTS / "typed_script.py")
    command = [*mypy, "mypy", "--strict", "--python-executable", desk.package.python(), script]
    done = checked(command, desk)
    assert done.returncode == 0, done.stdout


def test_a_users_mistakes_are_found_by_type_checks(mypy, desk):
    """Each of them, and nothing besides."""
    script = desk.put(kit.SCRIPTS / "wrongly_typed_script.py")
    lines = script.read_text(encoding="utf-8").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if "# wrong" in line]
    command = [*mypy, "mypy", "--strict", "--python-executable", desk.package.python(), script]
    done = checked(command, desk)
    found = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    assert wrong and sorted(set(found), key=int) == [str(number) for number in wrong], done.stdout


def test_the_stubs_say_what_the_native_part_has(mypy, desk, unzipped):
    """Compared with the module as it is at run time."""
    # The checker needs no rpyc to look at the native part; the package does to be imported.
    rpyc = desk.package.installed().parent
    code = "import sys; sys.path.append(%r); from mypy.stubtest import main; sys.exit(main())"
    command = [sys.executable, "-c", code % str(rpyc), "hrpyc_guard._native"]
    done = checked(command, desk, MYPYPATH=str(unzipped), PYTHONPATH=str(unzipped))
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.path.exists(unzipped / "hrpyc_guard" / "_native.pyi")
