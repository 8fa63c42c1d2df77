"""Scenario files: what is done to a cluster, under what load, and what must hold.

Pure: text in, frozen values out.
"""

from harness.scenario.breaking import Break, Fault, Freeze, Undo
from harness.scenario.expectations import BACKENDS, Bound, Errors, Expectation, Gap, Shares, Silence
from harness.scenario.files import load
from harness.scenario.reader import parse
from harness.scenario.steps import Action, Apply, Delete, Kill, Roll, Scale, Step, Wait
from harness.scenario.story import FIRST_PHASE, Load, Scenario, Shape, Target, Variant

__all__ = [
    "BACKENDS",
    "FIRST_PHASE",
    "Action",
    "Apply",
    "Bound",
    "Break",
    "Delete",
    "Errors",
    "Expectation",
    "Fault",
    "Freeze",
    "Gap",
    "Kill",
    "Load",
    "Roll",
    "Scale",
    "Scenario",
    "Shape",
    "Shares",
    "Silence",
    "Step",
    "Target",
    "Undo",
    "Variant",
    "Wait",
    "load",
    "parse",
]
