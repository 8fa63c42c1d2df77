"""Kubeconfigs: for the administrator (a client certificate inside) and for a pod (a token file beside).

The rule it keeps: a file that holds a key is readable by its owner alone, from its first byte on.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, TypedDict

import orjson

ADMINISTRATOR = "kubernetes-admin"
MASTERS = "system:masters"
# Clients ignore extensions that they do not know.
EXTENSION = "simcluster"


class Endpoint(TypedDict):
    """Where an API server is, and the authority that it is known by (PEM)."""

    url: str
    authority: bytes


def write_admin_kubeconfig(
    path: Path, endpoint: Endpoint, *, certificate: bytes, key: bytes, cluster: str, folder: Path
) -> None:
    """Write a kubeconfig with a client certificate and its key (PEM); its directory must exist.

    `folder` is the cluster's own, where its admin interface is.
    """
    user = {"client-certificate-data": _encode(certificate), "client-key-data": _encode(key)}
    write_kubeconfig(path, endpoint, cluster=cluster, user=ADMINISTRATOR, credentials=user, folder=folder)


def write_pod_kubeconfig(path: Path, endpoint: Endpoint, *, token_file: Path, namespace: str) -> None:
    """Write a kubeconfig that reads a service-account token from a file."""
    write_kubeconfig(
        path,
        endpoint,
        cluster="kubernetes",
        user="serviceaccount",
        credentials={"tokenFile": str(token_file)},
        namespace=namespace,
    )


def write_kubeconfig(
    path: Path,
    endpoint: Endpoint,
    *,
    cluster: str,
    user: str,
    credentials: dict[str, str],
    namespace: str | None = None,
    folder: Path | None = None,
) -> None:
    """Write a kubeconfig of one context, replacing what is there in one step."""
    authority = _encode(endpoint["authority"])
    where: dict[str, Any] = {"server": endpoint["url"], "certificate-authority-data": authority}
    if folder is not None:
        where["extensions"] = [{"name": EXTENSION, "extension": {"folder": str(folder)}}]
    context: dict[str, Any] = {"cluster": cluster, "user": user}
    if namespace is not None:
        context["namespace"] = namespace
    name = f"{user}@{cluster}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": where}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    _write_private(path, _as_yaml(config).encode())


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _as_yaml(value: Any, indent: int = 0) -> str:
    """Return plain objects, lists of objects and texts as YAML, as people expect a kubeconfig to look."""
    lines: list[str] = []
    pad = " " * indent
    for key, each in value.items():
        if isinstance(each, dict):
            lines.append(f"{pad}{key}:\n{_as_yaml(each, indent + 2)}")
        elif isinstance(each, list):
            items = (f"{pad}- {_as_yaml(item, indent + 2).lstrip()}" for item in each)
            lines.append(f"{pad}{key}:\n{''.join(items)}")
        else:
            # A JSON text is a YAML text, whatever is in it.
            lines.append(f"{pad}{key}: {orjson.dumps(each).decode()}\n")
    return "".join(lines)
