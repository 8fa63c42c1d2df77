"""What the conformance cases are written with: a target, a thin HTTP client, a namespace to work in.

It is a client's view and nothing else: it shares no code with the simulation, so one mistake can not hide in both.
"""
