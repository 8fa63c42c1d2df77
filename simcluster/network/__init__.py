"""The network of the simulated cluster: addresses, ClusterIP and DNS, behind the interface in `driver`."""
