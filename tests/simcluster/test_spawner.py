"""Processes started through the zygote, with real forks, signals and descriptors."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import simcluster
from simcluster.kubelet.descent import find_descendants
from simcluster.kubelet.spawner import Child, Spawner, SpawnerEnded, StartFailed

ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": os.environ["PATH"]}


@asynccontextmanager
async def running(*preload: str) -> AsyncIterator[Spawner]:
    """A spawner that is stopped at the end."""
    spawner = Spawner(preload)
    try:
        await spawner.start()
        yield spawner
    finally:
        await spawner.stop()


async def start(
    spawner: Spawner, cwd: Path, *argv: str, declared: Mapping[str, str] | None = None
) -> tuple[Child, int, int]:
    """A process of that command, and the read ends of its stdout and stderr."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    out, out_end = os.pipe()
    error, error_end = os.pipe()
    try:
        environment = ENVIRONMENT | dict(declared or {})
        child = await spawner.spawn(argv, environment, cwd, (nothing, out_end, error_end), declared=declared)
    finally:
        for descriptor in (nothing, out_end, error_end):
            os.close(descriptor)
    return child, out, error


def ended(handle: int) -> bool:
    """Whether the process of a pidfd has ended; waits up to 10 s for it."""
    return bool(select.select([handle], [], [], 10)[0])


def drain(descriptor: int) -> str:
    """All text up to the end of a pipe."""
    with open(descriptor, "rb") as file:
        return file.read().decode()


async def run(
    spawner: Spawner, cwd: Path, *argv: str, declared: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    child, out, error = await start(spawner, cwd, *argv, declared=declared)
    texts = await asyncio.gather(asyncio.to_thread(drain, out), asyncio.to_thread(drain, error))
    return await child.wait(), *texts


@pytest.mark.parametrize("options", [("-c",), ("-I", "-c")], ids=["forked", "exec'd"])
def test_python_program_sees_what_an_interpreter_would_show(tmp_path: Path, options: tuple[str, ...]) -> None:
    """`__main__`, argv, cwd, environment, session and signal dispositions are the program's own, fork or
    not.
    """
    code = textwrap.dedent("""
        import os, signal, sys, random
        print(__name__, sys.argv[1:], os.getcwd(), sorted(os.environ), os.getpid() == os.getsid(0))
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK,
        ()))
        print(sorted(os.listdir("/proc/self/fd"))[:-1])
        print("warning", file=sys.stderr)
        sys.exit(7)
    """)

    async def scenario() -> tuple[int, str, str]:
        async with running() as spawner:
            return await run(spawner, tmp_path, "python", *options, code, "a", "b")

    status, out, error = asyncio.run(scenario())
    assert error == "warning\n"
    assert status == 7
    assert out.splitlines() == [
        f"__main__ ['a', 'b'] {tmp_path} ['LANG', 'PATH'] True",
        "True set()",
        "['0', '1', '2']",
    ]


def test_module_and_script_run_as_main(tmp_path: Path) -> None:
    """`-m package` runs its `__main__`, a script sees its own directory on sys.path, as with CPython."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print(__name__, __package__, __file__, sys.argv)")
    (package / "sibling.py").write_text("x = 5")
    (package / "script.py").write_text("import sibling, sys; print(__file__, sibling.x, sys.argv)")

    async def scenario() -> list[tuple[int, str, str]]:
        async with running() as spawner:
            script = str(package / "script.py")
            return [
                await run(spawner, tmp_path, "python", "-m", "shop", "--now"),
                await run(spawner, tmp_path, "python3", "-u", script, "1"),
            ]

    module, script = asyncio.run(scenario())
    main = package / "__main__.py"
    assert module == (0, f"__main__ shop {main} ['{main}', '--now']\n", "")
    assert script == (0, f"{package}/script.py 5 ['{package}/script.py', '1']\n", "")


def test_failures_of_a_program_read_as_cpython_writes_them(tmp_path: Path) -> None:
    """A missing module, a missing file and an uncaught exception give CPython's texts and exit codes."""

    async def scenario() -> list[tuple[int, str, str]]:
        async with running() as spawner:
            return [
                await run(spawner, tmp_path, "python", "-m", "no_such_module"),
                await run(spawner, tmp_path, "python", "no_such.py"),
                await run(spawner, tmp_path, "python", "-c", "1/0"),
            ]

    no_module, no_file, crash = asyncio.run(scenario())
    assert no_module == (1, "", f"{sys.executable}: No module named no_such_module\n")
    assert no_file == (
        2, "", f"{sys.executable}: can't open file '{tmp_path}/no_such.py': [Errno 2] No such file or directory\n",
    )  # fmt: skip
    expected = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'
    assert crash == (1, "", f"{expected}ZeroDivisionError: division by zero\n")


def test_threads_and_atexit_end_as_in_an_interpreter(tmp_path: Path) -> None:
    """A forked program's non-daemon threads are joined and its atexit hooks run."""
    code = (
        "import atexit, threading; atexit.register(print, 'bye'); go = threading.Event();"
        "threading.Thread(target=lambda: (go.wait(), print('thread'))).start();"
        "threading.Timer(0.01, go.set).start()"
    )

    async def scenario() -> tuple[int, str, str]:
        async with running() as spawner:
            return await run(spawner, tmp_path, "python", "-c", code)

    assert asyncio.run(scenario()) == (0, "thread\nbye\n", "")


def test_programs_that_do_not_exist_or_can_not_run_say_so(tmp_path: Path) -> None:
    """The texts are a container run-time's; the zygote goes on serving."""
    (tmp_path / "broken").write_bytes(b"\x7fELF nothing")
    (tmp_path / "broken").chmod(0o755)

    async def scenario() -> list[str]:
        async with running() as spawner:
            texts = []
            for program in ("no-such-program", "./absent", "./broken"):
                with pytest.raises(StartFailed) as failure:
                    await run(spawner, tmp_path, program)
                texts.append(str(failure.value))
            assert (await run(spawner, tmp_path, "sh", "-c", "echo $0", "x"))[1] == "x\n"
            return texts

    assert asyncio.run(scenario()) == [
        'exec: "no-such-program": executable file not found in $PATH',
        'exec: "./absent": stat ./absent: no such file or directory',
        "fork/exec: Exec format error",
    ]


def test_signals_reach_the_process_or_its_group(tmp_path: Path) -> None:
    """SIGTERM to the leader alone runs its handler; a kill of the group ends what it started, too."""

    async def scenario() -> tuple[int, bool, bool, int, set[int]]:
        async with running() as spawner:
            code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True)"
            code += "; signal.pause()"
            polite, out, error = await start(spawner, tmp_path, "python", "-c", code)
            await asyncio.to_thread(os.read, out, 3)
            catches = polite.catches(signal.SIGTERM)
            polite.signal(signal.SIGTERM)
            status = await polite.wait()
            rude, rude_out, rude_error = await start(
                spawner, tmp_path, "sh", "-c", "sleep 100 & echo up; wait"
            )
            await asyncio.to_thread(os.read, rude_out, 3)
            rude_catches = rude.catches(signal.SIGTERM)
            rude.kill()
            killed = await rude.wait()
            assert await asyncio.to_thread(drain, rude_out) == ""  # the child `sleep` held it open
            for descriptor in (out, error, rude_error):
                os.close(descriptor)
            assert spawner._process is not None
            return status, catches, rude_catches, killed, find_descendants(spawner._process.pid)

    assert asyncio.run(scenario()) == (3, True, False, -signal.SIGKILL, set())


def test_group_ends_with_its_leader(tmp_path: Path) -> None:
    """What a container's main process leaves behind is killed when it exits, as with a PID namespace."""

    async def scenario() -> tuple[int, str, str]:
        async with running() as spawner:
            return await run(spawner, tmp_path, "sh", "-c", "sleep 100 & exit 4")

    started_at = time.monotonic()
    assert asyncio.run(scenario())[0] == 4
    assert time.monotonic() - started_at < 50  # the pipe would be open for as long as `sleep` lives


def test_module_that_starts_a_thread_is_not_preloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module with a thread at import is reported unfit, still runs, and others are still forked."""
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,)).start()\nprint(__name__)"
    )
    (tmp_path / "quiet.py").write_text("import sys; print(__name__, 'quiet' in sys.modules)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(simcluster.__file__).parents[1]), str(tmp_path)])
    )

    async def scenario() -> tuple[frozenset[str], str, str]:
        async with running("threaded", "quiet") as spawner:
            threaded = await run(spawner, tmp_path, "python", "-m", "threaded")
            quiet = await run(spawner, tmp_path, "python", "-m", "quiet")
            return spawner.unfit, threaded[1], quiet[1]

    unfit, threaded, quiet = asyncio.run(scenario())
    assert unfit == {"threaded"}
    assert threaded == "__main__\n"
    assert quiet == "__main__ True\n"  # it was imported before the fork, and runs anew as __main__


def test_program_without_a_guard_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module whose import would be its run is not run before somebody asks for it, and then once; one that ends its
    interpreter when it is imported ends no cluster.
    """
    (tmp_path / "bare.py").write_text("open('ran', 'a').write('x')\nprint('served')\nimport sys; sys.exit(3)")
    (tmp_path / "ends.py").write_text("import sys; sys.exit(__name__ != '__main__')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(simcluster.__file__).parents[1]))

    async def scenario() -> list[tuple[int, str, str]]:
        async with running("bare", "ends") as spawner:
            assert not (tmp_path / "ran").exists()
            return [await run(spawner, tmp_path, "python", "-m", name) for name in ("bare", "ends")]

    assert asyncio.run(scenario()) == [(3, "served\n", ""), (0, "", "")]
    assert (tmp_path / "ran").read_text() == "x"


def test_import_without_an_end(tmp_path: Path) -> None:
    """A module that waits for something when it is imported is given up, with a line in the log."""
    (tmp_path / "waits.py").write_text("import time\nif __name__: time.sleep(60)")
    code = "from simcluster.kubelet import zygote as z; z._IMPORT_S = 0.2; print(z.preload(['calendar', 'waits']))"
    path = os.pathsep.join([str(Path(simcluster.__file__).parents[1]), str(tmp_path)])
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=50, check=True,
    )  # fmt: skip
    assert found.stdout == "waits\n"
    assert found.stderr == "waits was imported for 0.2 s without an end: it is not preloaded\n"


def test_cluster_that_is_killed_during_an_import(tmp_path: Path) -> None:
    """The zygote, which is in somebody's module and hears nothing, is killed with it."""
    (tmp_path / "waits.py").write_text(
        f"import os, time\nif __name__: open({str(tmp_path / 'pid')!r}, 'w').write("
        "str(os.getpid()) + '\\n')\ntime.sleep(50)"
    )
    code = "import asyncio; from simcluster.kubelet.spawner import Spawner; asyncio.run(Spawner(['waits']).start())"
    path = os.pathsep.join([str(Path(simcluster.__file__).parents[1]), str(tmp_path)])
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}) as owner:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("\n"):
            assert owner.poll() is None
            time.sleep(0.02)
        zygote = os.pidfd_open(int((tmp_path / "pid").read_text()))
        owner.kill()
    assert ended(zygote)
    os.close(zygote)


def test_interpreter_variables_need_a_fresh_interpreter(tmp_path: Path) -> None:
    """PYTHONHASHSEED, which only a starting interpreter reads, acts; without it, programs are forked."""
    code = "import sys; print(sys.flags.hash_randomization, 'simcluster.kubelet.zygote' in sys.orig_argv)"

    async def scenario() -> tuple[str, str]:
        async with running() as spawner:
            fresh = await run(spawner, tmp_path, "python", "-c", code, declared={"PYTHONHASHSEED": "0"})
            forked = await run(spawner, tmp_path, "python", "-c", code)
            return fresh[1], forked[1]

    assert asyncio.run(scenario()) == ("0 False\n", "1 True\n")


def test_nothing_survives_when_the_zygotes_owner_is_killed(tmp_path: Path) -> None:
    """kill -9 of the owner ends forked and exec'd processes, their children, and daemons in sessions of their
    own.
    """
    owner = textwrap.dedent("""
        import asyncio, os, sys
        from pathlib import Path
        from simcluster.kubelet.spawner import Spawner

        async def main():
            spawner = Spawner()
            nothing = os.open(os.devnull, os.O_RDWR)
            streams = (nothing, nothing, nothing)
            environment = {"PATH": os.environ["PATH"]}
            ready = "echo > ready.$$; "
            await spawner.spawn(["python", "-c", "import time; open('ready.python', 'w'); time.sleep(999)"],
                                environment, Path.cwd(), streams)
            await spawner.spawn(["sh", "-c", "trap '' TERM; sleep 998 & " + ready + "wait"], environment,
            Path.cwd(), streams)
            await spawner.spawn(["sh", "-c", "setsid sleep 997 & " + ready + "wait"], environment, Path.cwd(),
            streams)
            print("started", spawner._process.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    root = str(Path(simcluster.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", owner],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        zygote = int(process.stdout.readline().split()[1])
        while len(list(tmp_path.glob("ready.*"))) < 3:
            time.sleep(0.01)
        below = find_descendants(zygote)
        assert len(below) >= 5
        handles = [os.pidfd_open(pid) for pid in (zygote, *below)]
        process.kill()
    assert [handle for handle in handles if not ended(handle)] == []
    for handle in handles:
        os.close(handle)


def test_death_of_the_zygote_ends_its_children_and_is_told(tmp_path: Path) -> None:
    """kill -9 of the zygote: its processes end by the kernel's hand, waiters wake, new starts are refused."""

    async def scenario() -> int:
        async with running() as spawner:
            child, out, error = await start(spawner, tmp_path, "sleep", "996")
            handle = os.pidfd_open(child.pid)
            assert spawner._process is not None
            spawner._process.kill()
            status = await child.wait()
            await spawner.gone.wait()
            assert await asyncio.to_thread(ended, handle)
            with pytest.raises(SpawnerEnded, match="the process that starts all others has ended"):
                await run(spawner, tmp_path, "true")
            for descriptor in (out, error, handle):
                os.close(descriptor)
            return status

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == -signal.SIGKILL


def test_two_hundred_processes_at_once_are_all_started_and_reaped(tmp_path: Path) -> None:
    """More requests than the socket holds wait in the queue, and none is lost."""

    async def scenario() -> list[int]:
        async with running() as spawner:
            results = []
            nothing = os.open(os.devnull, os.O_RDWR)

            async def one(number: int) -> int:
                child = await spawner.spawn(
                    ["python", "-c", f"raise SystemExit({number % 100})"],
                    ENVIRONMENT,
                    tmp_path,
                    (nothing,) * 3,
                )
                return await child.wait()

            results = await asyncio.gather(*(one(number) for number in range(200)))
            os.close(nothing)
            return results

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == [number % 100 for number in range(200)]


def test_preloaded_module_is_run_as_the_main_one(tmp_path: Path) -> None:
    """What was read before the fork is run with the name, the argv and the file of `python -m`, each time anew; what is
    no module is no matter until it is run.
    """

    async def scenario() -> list[tuple[int, str, str]]:
        async with running("calendar", "no_such_module_of_anybody") as spawner:
            return [
                await run(spawner, tmp_path, "python", "-m", module, "-h")
                for module in ("calendar", "calendar", "no_such_module_of_anybody")
            ]

    first, again, absent = asyncio.run(scenario())
    assert first == again
    assert first[0] == 0
    assert first[1].startswith("usage: calendar.py")
    assert absent[0] == 1
    assert "No module named no_such_module_of_anybody" in absent[2]
