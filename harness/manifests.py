"""Reading a folder of manifests: its kustomization's `resources`, and theirs.

Rule: what is deployed is what the files say. Of kustomize this module knows `resources` alone; any other
field is an error, never ignored, because it would change what `kubectl apply -k` deploys. It talks to no
cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.errors import ManifestError, located, suggest

Object = dict[str, Any]
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_KNOWN = ("apiVersion", "kind", "resources")
VARIANT_LABEL = "kube-grpc.dev/variant"
CLIENT_LABELS = {"app": "client"}
CLIENT_CONTAINER = "client"


def load(folder: Path) -> list[Object]:
    """Every object of a folder with a kustomization, in its order. Raises ManifestError."""
    found: list[Object] = []
    _load_folder(folder, found, ())
    return found


def load_file(file: Path) -> list[Object]:
    """Every object of one YAML file, in its order. Raises ManifestError."""
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(located(str(file), None, f"can not be read: {error.strerror}")) from None
    except UnicodeDecodeError:
        raise ManifestError(located(str(file), None, "not text", ["a manifest is YAML in UTF-8"])) from None
    except yaml.YAMLError as error:
        raise _not_yaml(file, error) from None
    found = [document for document in documents if document is not None]
    for document in found:
        if not isinstance(document, dict) or not isinstance(document.get("metadata", {}), dict):
            raise ManifestError(located(str(file), None, "an object, and its metadata, are mappings"))
        missing = [key for key in ("apiVersion", "kind", "metadata") if key not in document]
        if missing:
            raise ManifestError(located(str(file), None, f"an object without {', '.join(missing)}"))
    return found


def client_variant(found: Mapping[str, Any]) -> str | None:
    """The variant that a Deployment of clients measures; None for every other object."""
    labels = found["metadata"].get("labels") or {}
    if found["kind"] != "Deployment" or any(labels.get(key) != value for key, value in CLIENT_LABELS.items()):
        return None
    variant = labels.get(VARIANT_LABEL)
    if variant is None:
        name = found["metadata"]["name"]
        hints = [f"label it {VARIANT_LABEL}: <variant>"]
        raise ManifestError(located(f"Deployment {name}", None, "is a client of no variant", hints))
    return str(variant)


def is_client_pod(found: Mapping[str, Any]) -> bool:
    """Whether a pod is one of a client Deployment."""
    labels = found["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in CLIENT_LABELS.items())


def with_load(deployment: Object, replicas: int, env: Iterable[tuple[str, str]]) -> Object:
    """A client Deployment with this many pods and these environment variables in its container `client`."""
    changed = copy.deepcopy(deployment)
    changed["spec"]["replicas"] = replicas
    containers = changed["spec"]["template"]["spec"]["containers"]
    container = next((each for each in containers if each["name"] == CLIENT_CONTAINER), None)
    if container is None:
        name = deployment["metadata"]["name"]
        names = ", ".join(each["name"] for each in containers)
        raise ManifestError(
            f'Deployment {name}: no container is named "{CLIENT_CONTAINER}"\n'
            f"  its containers: {names}; the one that makes the calls has that name"
        )
    given = dict(env)
    kept = [entry for entry in container.get("env") or [] if entry["name"] not in given]
    container["env"] = kept + [{"name": name, "value": value} for name, value in given.items()]
    return changed


def _load_folder(folder: Path, found: list[Object], inside: tuple[Path, ...]) -> None:
    file = next((folder / name for name in _KUSTOMIZATIONS if (folder / name).is_file()), None)
    if file is None:
        hints = [f"looked for {', '.join(_KUSTOMIZATIONS)}", "a scenario names its folder with `manifests:`"]
        raise ManifestError(located(str(folder), None, "no kustomization here", hints))
    if folder.resolve() in inside:
        raise ManifestError(located(str(file), None, "this kustomization includes itself"))
    for entry in _resources(file):
        path = folder / entry
        if path.is_dir():
            _load_folder(path, found, (*inside, folder.resolve()))
        else:
            found += load_file(path)


def _resources(file: Path) -> Iterator[str]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _not_yaml(file, error) from None
    if not isinstance(content, dict) or not isinstance(content.get("resources"), list):
        raise ManifestError(
            located(str(file), None, '"resources" is missing', ["a list of files and folders"])
        )
    for key in content:
        if key not in _KNOWN:
            hints = [*suggest(key, _KNOWN, what="fields"), "write the objects out, or apply them by a step"]
            raise ManifestError(located(str(file), None, f'field "{key}" is not supported', hints))
    for entry in content["resources"]:
        if not isinstance(entry, str) or "://" in entry:
            raise ManifestError(
                located(str(file), None, f"{entry!r} is not a path", ["remote resources are not read"])
            )
        yield entry


def _not_yaml(file: Path, error: yaml.YAMLError) -> ManifestError:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    line = None if mark is None else int(mark.line) + 1
    return ManifestError(located(str(file), line, f"not YAML: {error if problem is None else problem}"))
