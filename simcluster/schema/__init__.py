"""What the kinds of a Kubernetes API look like: data from a real API server, and pure functions over it."""

from simcluster.schema.catalogue import Catalogue, Resource, Subresource, load, versions
from simcluster.schema.decoding import Report, decode
from simcluster.schema.protobuf import Protobuf, UnwritableError
from simcluster.schema.types import Field, Form, Type

__all__ = [
    "Catalogue",
    "Field",
    "Form",
    "Protobuf",
    "Report",
    "Resource",
    "Subresource",
    "Type",
    "UnwritableError",
    "decode",
    "load",
    "versions",
]
