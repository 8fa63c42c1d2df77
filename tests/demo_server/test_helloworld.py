"""The generated code that is checked in."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

import demo_server
from demo_server import helloworld_pb2

ROOT = Path(__file__).parents[2]
PACKAGE = Path(demo_server.__file__).parent
GENERATED = ("helloworld_pb2.py", "helloworld_pb2.pyi", "helloworld_pb2_grpc.py")


def generate(proto: str, into: Path) -> Path:
    """Generate from this text as it is done for the repository; the folder with the modules."""
    (into / "demo_server").mkdir(parents=True)
    (into / "demo_server" / "helloworld.proto").write_text(proto, encoding="utf-8")
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{into}",
        *outputs,
        "demo_server/helloworld.proto",
    ]
    subprocess.run(command, check=True, cwd=into)
    return into / "demo_server"


def read_descriptor(module: Path) -> bytes:
    found = re.search(r"AddSerializedFile\((b'.*')\)", module.read_text(encoding="utf-8"))
    assert found is not None
    return eval(found[1], {"__builtins__": {}})  # the generator's own literal


def test_generated_code_is_what_the_definition_gives(tmp_path: Path) -> None:
    """Generating again gives the checked-in code: to the byte with the same tools, the same descriptor with others."""
    proto = (PACKAGE / "helloworld.proto").read_text(encoding="utf-8")
    fresh = generate(proto, tmp_path)
    assert read_descriptor(fresh / "helloworld_pb2.py") == read_descriptor(PACKAGE / "helloworld_pb2.py")
    checked_in = (PACKAGE / "helloworld_pb2_grpc.py").read_text(encoding="utf-8")
    if f"GRPC_GENERATED_VERSION = '{version('grpcio-tools')}'" in checked_in:
        for name in GENERATED:
            assert (fresh / name).read_bytes() == (PACKAGE / name).read_bytes(), f"{name} is not up to date"


def test_changed_definition_is_noticed(tmp_path: Path) -> None:
    """Negative control: a definition with one field more gives another descriptor."""
    proto = (PACKAGE / "helloworld.proto").read_text(encoding="utf-8")
    changed = generate(proto.replace("string name = 1;", "string name = 1; string title = 2;"), tmp_path)
    assert read_descriptor(changed / "helloworld_pb2.py") != read_descriptor(PACKAGE / "helloworld_pb2.py")


def test_wire_contract_of_the_first_demo() -> None:
    """Package, service, method and field numbers are those that clients of the first demo speak."""
    file = descriptor_pb2.FileDescriptorProto()
    helloworld_pb2.DESCRIPTOR.CopyToProto(file)
    assert file.package == "helloworld"
    assert [(each.name, [method.name for method in each.method]) for each in file.service] == [
        ("Greeter", ["SayHello"])
    ]
    fields = {
        message.name: [(field.name, field.number) for field in message.field] for message in file.message_type
    }
    assert fields == {"HelloRequest": [("name", 1)], "HelloReply": [("message", 1)]}


@pytest.mark.parametrize("extra", ["grpcio", "protobuf"])
def test_installation_asks_for_what_the_generated_code_needs(extra: str) -> None:
    """The extra `demo` asks for at least the versions that the generated code refuses to run below."""
    grpc_code = (PACKAGE / "helloworld_pb2_grpc.py").read_text(encoding="utf-8")
    proto_code = (PACKAGE / "helloworld_pb2.py").read_text(encoding="utf-8")
    generated = {
        "grpcio": re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", grpc_code),
        "protobuf": re.search(r"# Protobuf Python Version: ([\d.]+)", proto_code),
    }[extra]
    assert generated is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{extra}>={generated[1]}" in project["optional-dependencies"]["demo"]
