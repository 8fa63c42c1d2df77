"""The controllers of the simulated cluster: one kind a module, each a client of the registry alone.

The rule it keeps: a controller is a pure decision and a thin loop around it. All of them share one registry, one
clock, one source of chance and one table of delays, which `controllers.start` is given.
"""
