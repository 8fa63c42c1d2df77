"""Every scenario file of this folder, as a test of its own."""

from __future__ import annotations

import pytest

from harness.plugin import ScenarioTest


@pytest.mark.k8s_scenarios("*.yaml")
def test_scenario(k8s_scenario: ScenarioTest) -> None:
    """Every expectation of the scenario is met on the cluster of this run."""
    k8s_scenario.run()
