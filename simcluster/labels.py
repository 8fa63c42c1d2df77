"""Keys and values of labels: what Kubernetes allows, and the real words of what it refuses. Pure.

Source: k8s.io/apimachinery pkg/api/validate/content/kube.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    f"validation is '{_VALUE}')"
)


def matcher(pattern: str, text: str, longest: int, unit: str = "characters") -> Callable[[str], list[str]]:
    """Return what complains of texts that are longer, or not as the pattern wants them."""
    compiled = re.compile(pattern)

    def complain(value: str) -> list[str]:
        found = [] if len(value.encode()) <= longest else [f"must be no more than {longest} {unit}"]
        return found if compiled.fullmatch(value) else [*found, text]

    return complain


complain_subdomain = matcher(_SUBDOMAIN, _SUBDOMAIN_TEXT, 253)
complain_value = matcher(_VALUE, _VALUE_TEXT, 63, "bytes")
_complain_prefix = matcher(_SUBDOMAIN, _SUBDOMAIN_TEXT, 253, "bytes")
_complain_name = matcher(_QUALIFIED, _KEY_TEXT, 63, "bytes")


def complain_key(key: str) -> list[str]:
    """Return what is wrong with the key of a label, annotation or selector."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {_KEY_TEXT} {optional}"]
    found = ["prefix part must be non-empty"] if slash and not prefix else []
    found += [f"prefix part {text}" for text in _complain_prefix(prefix)] if prefix else []
    found += [] if name else ["name part must be non-empty"]
    return found + [f"name part {text}" for text in _complain_name(name)]
