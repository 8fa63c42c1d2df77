"""The folder that Envoy watches."""

from pathlib import Path

from demo_server.xds_files import XdsFiles


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    """A file with the same content is not touched, one with another is a new file under the same name."""
    files = XdsFiles(tmp_path)
    assert files.replace({"eds-a.json": "1", "cds.json": "1"}) == ("eds-a.json", "cds.json")
    before = {name: (tmp_path / name).stat().st_ino for name in names(tmp_path)}
    assert files.replace({"eds-a.json": "2", "cds.json": "1"}) == ("eds-a.json",)
    after = {name: (tmp_path / name).stat().st_ino for name in names(tmp_path)}
    assert before["cds.json"] == after["cds.json"]
    assert before["eds-a.json"] != after["eds-a.json"], "written in place, not replaced by rename"
    assert (tmp_path / "eds-a.json").read_text() == "2"


def test_what_nothing_refers_to_goes(tmp_path: Path) -> None:
    """Endpoints and certificates that left the configuration leave the folder, and come back when they do."""
    files = XdsFiles(tmp_path)
    files.replace({"eds-a.json": "1", "sds-s.json": "k", "cds.json": "1"})
    assert files.replace({"cds.json": "2"}) == ("cds.json", "eds-a.json", "sds-s.json")
    assert names(tmp_path) == ["cds.json"]
    assert files.replace({"eds-a.json": "1", "cds.json": "2"}) == ("eds-a.json",)


def test_other_files_stay(tmp_path: Path) -> None:
    """Envoy's bootstrap and socket are not configuration."""
    (tmp_path / "bootstrap.json").write_text("{}")
    XdsFiles(tmp_path).replace({"cds.json": "1"})
    assert names(tmp_path) == ["bootstrap.json", "cds.json"]


def test_files_are_for_their_owner(tmp_path: Path) -> None:
    """No one else can read a file that may hold a key."""
    XdsFiles(tmp_path).replace({"sds-s.json": "key"})
    assert (tmp_path / "sds-s.json").stat().st_mode & 0o777 == 0o600


def test_link_left_by_another_is_not_followed(tmp_path: Path) -> None:
    """A link where the new file is prepared does not lead the key elsewhere."""
    (tmp_path / ".sds-s.json.new").symlink_to(tmp_path / "elsewhere")
    XdsFiles(tmp_path).replace({"sds-s.json": "key"})
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "sds-s.json").read_text() == "key"
