"""The kubelet of the simulated cluster: pods as processes of this machine."""
