"""The Greeter that the measurements run on: server, client of every variant, ingress gateway, and their
images.

The rule: each program here is what a team would run on any Kubernetes cluster, started as `python -m
demo_server.<name>`. Nothing here knows the harness or the simulated cluster.
"""
