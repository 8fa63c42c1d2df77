"""What an API server does to objects around storing them: the one way to read and write them, for all rooms."""

from simcluster.patches import PatchType
from simcluster.registry.instants import format_time, parse_time
from simcluster.registry.naming import find_manager_faults, name_manager
from simcluster.registry.options import Admit, DeleteOptions, WriteOptions, admit_all
from simcluster.registry.registry import Registry
from simcluster.registry.services import Addresses
from simcluster.registry.subscriptions import Subscription
from simcluster.store import Event, Object

__all__ = [
    "Addresses",
    "Admit",
    "DeleteOptions",
    "Event",
    "Object",
    "PatchType",
    "Registry",
    "Subscription",
    "WriteOptions",
    "admit_all",
    "find_manager_faults",
    "format_time",
    "name_manager",
    "parse_time",
]
