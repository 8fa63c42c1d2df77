"""Faults on demand: what they are, whom they hit, how long they last, and how their owner asks for them."""
