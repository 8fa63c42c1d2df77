"""Python command lines, run inside a process that is already a Python interpreter.

The rule it keeps: a program run here sees what `python …` would have shown it: `__main__`, `sys.argv`,
`sys.path[0]`, its own standard streams, exit codes. `parse` says which command lines can be run so; all
others need a real `exec`. It does not fork, and uses the standard library alone, because the zygote imports
it.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType
from typing import Literal

# These change nothing that a forked interpreter could not do as well.
_HARMLESS_VARIABLES = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})


# What `python -m` of a module runs, of those that were imported before the fork: its code is as old as they are.
_remembered: dict[str, tuple[ModuleSpec, CodeType]] = {}


@dataclass(frozen=True, slots=True)
class Program:
    """One Python program: what `python [-u] -m target`, `-c target` or `target` would run."""

    kind: Literal["module", "code", "script"]
    target: str
    arguments: tuple[str, ...]
    unbuffered: bool = False


def parse(argv: Sequence[str], declared: Mapping[str, str]) -> Program | None:
    """The program of a Python command line; None if it uses anything that only a fresh interpreter can do.

    `argv[0]` is taken to be a Python interpreter. Variables such as PYTHONPATH or PYTHONHASHSEED act at an
    interpreter's start, so a command that is to have one of its own, in `declared`, is not for us.
    """
    for name in declared:
        if name.startswith("PYTHON") and name not in _HARMLESS_VARIABLES:
            return None
    unbuffered = bool(declared.get("PYTHONUNBUFFERED"))
    rest = list(argv[1:])
    if rest[:1] == ["-u"]:
        unbuffered, rest = True, rest[1:]
    match rest:
        case ["-m", target, *arguments]:
            return Program("module", target, tuple(arguments), unbuffered)
        case ["-c", target, *arguments]:
            return Program("code", target, tuple(arguments), unbuffered)
        case [target, *arguments] if not target.startswith("-") and Path(target).suffix == ".py":
            return Program("script", target, tuple(arguments), unbuffered)
    return None


def _open_streams(*, unbuffered: bool) -> None:
    """Fresh standard streams over descriptors 0, 1, 2, buffered as a new interpreter would."""
    for name, number, mode, errors in (
        ("stdin", 0, "r", "strict"),
        ("stdout", 1, "w", "strict"),
        ("stderr", 2, "w", "backslashreplace"),
    ):
        raw = io.FileIO(number, mode, closefd=False)
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        line_buffering = number == 2 or (mode == "w" and os.isatty(number))
        stream = io.TextIOWrapper(
            buffer,
            encoding="utf-8",
            errors=errors,
            line_buffering=line_buffering,
            write_through=unbuffered and mode == "w",
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def remember(name: str) -> None:
    """Have every fork run this module, by `python -m`, without reading it again; nothing if there is none."""
    try:
        _remembered[name] = _find_module(name)
    except SystemExit:
        return  # the program itself will say so


def is_guarded(name: str) -> bool:
    """Whether a module can be imported without being run: a package can; a program can that asks for its `__name__`."""
    known = _remembered.get(name)
    return known is None or known[0].name != name or "__name__" in known[1].co_names


def _find_module(name: str) -> tuple[ModuleSpec, CodeType]:
    """Spec and code of what `python -m name` runs; SystemExit with CPython's text if there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.executable}: Error while finding module specification for {name!r} ({error})")
    if spec is None:
        sys.exit(f"{sys.executable}: No module named {name}")
    if spec.submodule_search_locations is not None:  # a package: its __main__ is meant
        return _find_module(f"{name}.__main__")
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code is not None else None
    if not isinstance(code, CodeType):
        sys.exit(f"{sys.executable}: No code object available for {name}")
    return spec, code


def _prepare(program: Program, main: types.ModuleType) -> CodeType:
    """The code to run; sets what of `main`, `sys.argv` and `sys.path[0]` depends on the kind of program."""
    sys.path[0:0] = [str(Path.cwd())]
    if program.kind == "module":
        sys.argv = ["-m", *program.arguments]
        known = _remembered.get(program.target)
        spec, code = known if known is not None else _find_module(program.target)
        sys.argv[0] = spec.origin if spec.origin is not None else program.target
        main.__dict__.update(
            __spec__=spec,
            __file__=spec.origin,
            __package__=spec.parent,
            __loader__=spec.loader,
            __cached__=spec.cached,
        )
        return code
    if program.kind == "code":
        sys.argv = ["-c", *program.arguments]
        sys.path[0] = ""
        return compile(program.target, "<string>", "exec")
    sys.argv = [program.target, *program.arguments]
    path = Path(program.target)
    sys.path[0] = str(path.resolve().parent)
    main.__file__ = program.target
    try:
        source = path.read_bytes()
    except OSError as error:
        print(  # noqa: T201 -- the words and the stream of CPython
            f"{sys.executable}: can't open file {str(path.absolute())!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        sys.exit(2)
    return compile(source, program.target, "exec")


def run(program: Program) -> None:
    """Run the program as `__main__`; returns when it ended, or raises SystemExit as it, or CPython, would.

    The caller then has to let the interpreter end normally, so that threads are joined and `atexit` runs.
    """
    _open_streams(unbuffered=program.unbuffered)
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    code = _prepare(program, main)
    try:
        exec(code, main.__dict__)  # noqa: S102 -- running the pod's program is the purpose
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 -- as CPython: printed, exit code 1
        ours = error.__traceback__  # the frame of this function, which CPython does not have
        error.with_traceback(ours.tb_next if ours is not None else None)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
