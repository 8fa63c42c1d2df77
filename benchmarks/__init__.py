"""How fast, how small: every figure beside its peer's, measured in the same run. `tox -e bench` writes results.md."""
