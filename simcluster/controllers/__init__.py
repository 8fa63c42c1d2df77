"""The controllers of the simulated cluster: one kind a module, each a client of the registry alone."""
