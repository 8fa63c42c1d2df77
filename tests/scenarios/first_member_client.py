"""The demo's client over a broken pool: every call goes to its first member."""

import runpy

from kube_grpc import picker

picker.RoundRobin.pick = lambda self: self.members[0]  # type: ignore[method-assign]
runpy.run_module("demo_server.client", run_name="__main__", alter_sys=True)
