"""The benchmarks are no part of the wheel that the tests run against: they are found beside it, in the checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "benchmarks" / "__init__.py"

if "benchmarks" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("benchmarks", _PACKAGE)
    assert _spec is not None
    assert _spec.loader is not None
    _package = importlib.util.module_from_spec(_spec)
    sys.modules["benchmarks"] = _package
    _spec.loader.exec_module(_package)
