"""Processes with files of their own, which this machine never sees."""

import asyncio
import ctypes
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from simcluster.kubelet import rooms
from simcluster.kubelet.rooms import Mount, Room, try_out
from simcluster.kubelet.spawner import Spawner, StartFailed


def run(script: str, room: Room | None, tmp_path: Path, *, beside: str | None = None) -> list[str]:
    """What a shell script prints in a room; then what another prints beside it."""

    async def scenario() -> list[str]:
        spawner = Spawner()
        try:
            await spawner.start()
            if spawner.mount_obstacle is not None:
                pytest.skip(spawner.mount_obstacle)
            found = []
            with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as nothing:
                streams = (nothing.fileno(), output.fileno(), output.fileno())
                child = await spawner.spawn(
                    ["sh", "-c", script], dict(os.environ), tmp_path, streams, room=room
                )
                if beside is not None:
                    with tempfile.TemporaryFile() as second:
                        streams = (nothing.fileno(), second.fileno(), second.fileno())
                        other = await spawner.spawn(
                            ["sh", "-c", beside],
                            dict(os.environ),
                            tmp_path,
                            streams,
                            room=Room(beside=child.pid),
                        )
                        await other.wait()
                        second.seek(0)
                        found = second.read().decode().splitlines()
                    child.kill()
                await child.wait()
                output.seek(0)
                return output.read().decode().splitlines() + found
        finally:
            await spawner.stop()

    return asyncio.run(scenario())


@pytest.fixture
def stage(tmp_path: Path) -> str:
    (tmp_path / "stage").mkdir()
    return str(tmp_path / "stage")


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "key").write_text("value\n")
    return str(folder)


@pytest.mark.parametrize(
    "target", ["/etc/simcluster-test/deep/er", "/simcluster-test", "/var/run/secrets/x/y"]
)
def test_mount_point_that_this_machine_does_not_have(
    target: str, stage: str, source: str, tmp_path: Path
) -> None:
    """It is there in the room, beside all that was there before; the machine's files are as they were."""
    before = sorted(Path("/").iterdir()), sorted(Path("/etc").iterdir())
    script = f"cat {target}/key; ls / /etc /run | sort -u | wc -l; cat /etc/passwd | head -1"
    shown = run(script, Room(stage=stage, mounts=(Mount(source, target),)), tmp_path)
    plain = run("ls / /etc /run | sort -u | wc -l; cat /etc/passwd | head -1", None, tmp_path)
    assert shown[0] == "value"
    assert int(shown[1]) - int(plain[0]) in (0, 1)  # the mount point itself, unless it is deeper
    assert shown[2] == plain[1]
    assert (sorted(Path("/").iterdir()), sorted(Path("/etc").iterdir())) == before
    assert not Path(target).exists()


def test_read_only_mount_refuses_writers(stage: str, source: str, tmp_path: Path) -> None:
    """And one that is not read-only takes them, to where it came from."""
    room = Room(stage=stage, mounts=(Mount(source, "/mnt/a/ro", True), Mount(source, "/mnt/a/rw")))
    shown = run("(echo x > /mnt/a/ro/new) 2>&1; echo y > /mnt/a/rw/new; cat /mnt/a/ro/new", room, tmp_path)
    assert "Read-only file system" in shown[0]
    assert shown[1:] == ["y"]


def test_file_over_a_file(stage: str, source: str, tmp_path: Path) -> None:
    """A single file is seen at another file's place, or where there was none."""
    file = f"{source}/key"
    room = Room(stage=stage, mounts=(Mount(file, "/etc/passwd"), Mount(file, "/opt/none/app.conf")))
    assert run("cat /etc/passwd /opt/none/app.conf", room, tmp_path) == ["value", "value"]
    assert Path("/etc/passwd").read_text() != "value\n"


def test_process_beside_another_sees_what_that_one_sees(stage: str, source: str, tmp_path: Path) -> None:
    """A command that is executed in a container has its mounts and its host name."""
    room = Room(hostname=None, stage=stage, mounts=(Mount(source, "/opt/x/y"),))
    assert run("sleep 60", room, tmp_path, beside="cat /opt/x/y/key") == ["value"]


def test_mount_of_what_is_not_there_is_told(stage: str, tmp_path: Path) -> None:
    """The start fails with the mount and the reason."""
    room = Room(stage=stage, mounts=(Mount(str(tmp_path / "none"), "/opt/x/y"),))
    with pytest.raises(StartFailed, match=f"mount {tmp_path}/none at /opt/x/y: No such file or directory"):
        run("true", room, tmp_path)


def test_trial_tells_why_it_fails_and_changes_nothing() -> None:
    """What is tried out happens in another process."""

    def fail() -> None:
        os.chdir("/")
        raise OSError("not here")

    before = Path.cwd()
    assert try_out(fail) == "not here"
    assert try_out(lambda: None) is None
    assert Path.cwd() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_rooms_without_privilege() -> None:
    """A user without any right has rooms, too, and processes beside others in them, by a user namespace."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stage", "source"):
            (Path(folder) / name).mkdir()
            (Path(folder) / name).chmod(0o777)
        (Path(folder) / "source/key").write_text("value\n")
        Path(folder).chmod(0o777)
        found = try_out(lambda: _live_without_privilege(folder))
    if found is not None and found.startswith("user namespaces can not be had"):
        pytest.skip(found)
    assert found is None


def _live_without_privilege(folder: str) -> None:
    room = Room(stage=f"{folder}/stage", mounts=(Mount(f"{folder}/source", "/opt/x/y"),))

    def furnished(wanted: Room, then: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                rooms.furnish(wanted, None)
                then()
            except BaseException:  # noqa: BLE001 -- it must not go on as the test
                os._exit(1)
            os._exit(0)
        return pid

    def announce() -> None:
        os.write(is_ready, b"x")
        signal.pause()

    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    # A process that changes its user hides what it is, even from itself, until it says otherwise.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    rooms.own_mounts()
    ready, is_ready = os.pipe()
    first = furnished(room, announce)
    os.close(is_ready)
    assert os.read(ready, 1) == b"x"
    second = furnished(Room(beside=first), Path("/opt/x/y/key").read_text)
    code = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert code == 0, "the process beside sees something else"
