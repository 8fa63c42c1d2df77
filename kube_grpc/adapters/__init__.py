"""Metrics of pools in other systems' terms. Each module needs its own extra, and nothing here imports them."""
