"""Scenarios on a Kubernetes cluster, measured and judged.

A pytest plugin, and the stages of a run behind it.
"""
