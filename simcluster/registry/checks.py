"""Checks that many kinds share: ranges, ports, addresses, selectors, percentages. Pure.

The rule it keeps: each returns what is wrong in the words of a real server; nothing where all is well.

Source: kubernetes pkg/apis/core/validation/validation.go and k8s.io/apimachinery pkg/util/validation.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from simcluster.errors import Cause, forbidden, invalid, required, unsupported
from simcluster.labels import complain_key, complain_value
from simcluster.registry.naming import find_label_faults

Object = dict[str, Any]

NOT_NEGATIVE = "must be greater than or equal to 0"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_PORT_RANGE = "must be between 1 and 65535, inclusive"
_PERCENT = re.compile("[0-9]+%")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_KEY = re.compile("[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def apply_rule(rule: Callable[[str], list[str]], value: str, at: str) -> list[Cause]:
    """Return what a rule for names says of a value."""
    return [invalid(at, value, text) for text in rule(value)]


def find_negative(value: Any, at: str) -> list[Cause]:
    """Refuse a number below zero."""
    return [invalid(at, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def find_port_fault(port: int, at: str) -> list[Cause]:
    """Refuse what is no port."""
    return [] if 1 <= port <= 65535 else [invalid(at, port, _PORT_RANGE)]


def find_choice(value: Any, allowed: Iterable[str], at: str) -> list[Cause]:
    """Refuse a value that is none of the allowed; absent is allowed."""
    allowed = tuple(allowed)
    return [] if value is None or value in allowed else [unsupported(at, value, allowed)]


def complain_port_name(name: str) -> list[str]:
    """Return what is wrong with the name of a port (IANA_SVC_NAME)."""
    found = ["must be no more than 15 characters"] if len(name) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", name):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        found.append("must contain at least one letter (a-z)")
    if "--" in name:
        found.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def find_target_port_fault(port: Any, at: str) -> list[Cause]:
    """Refuse what is neither a number nor a name of a port."""
    if isinstance(port, str):
        return apply_rule(complain_port_name, port, at)
    return find_port_fault(port, at)


def complain_data_key(key: str) -> list[str]:
    """Return what is wrong with a key of a ConfigMap or Secret."""
    if key in (".", ".."):
        return [f"must not be '{key}'"]
    return [] if _KEY.fullmatch(key) else [_KEY_TEXT]


def read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address, None if the text is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def find_address_fault(text: str, at: str) -> list[Cause]:
    """Refuse what is no IP address."""
    return [] if read_address(text) is not None else [invalid(at, text, _IP_TEXT)]


def find_special_address_fault(text: str, at: str) -> list[Cause]:
    """Refuse an address that no endpoint can have; what is no address, too."""
    address = read_address(text)
    if address is None:
        return [invalid(at, text, _IP_TEXT)]
    if address.is_unspecified:
        return [invalid(at, text, f"may not be unspecified ({text})")]
    # Loopback addresses are refused by a real server; here pods and Services have no others.
    if address.is_link_local:
        return [invalid(at, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    return []


def find_network_fault(text: str, at: str) -> list[Cause]:
    """Refuse what is no range of addresses."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return [invalid(at, text, _CIDR_TEXT)]
    return [] if "/" in text else [invalid(at, text, _CIDR_TEXT)]


def find_amount_fault(value: Any, at: str, *, most_percent: bool = False) -> list[Cause]:
    """Refuse what is neither a number from zero on nor a percentage (of a hundred at most, if so asked)."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            return [invalid(at, value, _PERCENT_TEXT)]
        above = most_percent and int(value[:-1]) > 100
        return [invalid(at, value, "must not be greater than 100%")] if above else []
    return find_negative(value, at)


def is_zero(value: Any) -> bool:
    """Return whether an amount is nothing."""
    return value in (0, "0%") or (isinstance(value, str) and value.rstrip("%").strip("0") == "")


def find_selector_faults(selector: Object, at: str) -> list[Cause]:
    """Return what is wrong with a LabelSelector."""
    found = find_label_faults(selector.get("matchLabels", {}), f"{at}.matchLabels")
    for index, term in enumerate(selector.get("matchExpressions", ())):
        found += _find_term_faults(term, f"{at}.matchExpressions[{index}]")
        found += apply_rule(complain_key, term.get("key", ""), f"{at}.matchExpressions[{index}].key")
        for number, value in enumerate(term.get("values", ())):
            where = f"{at}.matchExpressions[{index}].values[{number}]"
            found += apply_rule(complain_value, value, where)
    return found


def _find_term_faults(term: Object, at: str) -> list[Cause]:
    operator = term.get("operator", "")
    if operator in ("In", "NotIn"):
        if term.get("values"):
            return []
        return [required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    if operator in ("Exists", "DoesNotExist"):
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{at}.values", text)] if term.get("values") else []
    return [invalid(f"{at}.operator", operator, "not a valid selector operator")]


def find_node_term_faults(term: Object, at: str) -> list[Cause]:
    """Return what is wrong with one requirement of a node selector."""
    if term.get("operator") in ("Gt", "Lt"):
        single = len(term.get("values", ())) == 1
        text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        found = [] if single else [required(f"{at}.values", text)]
    else:
        found = _find_term_faults(term, at)
    return found + apply_rule(complain_key, term.get("key", ""), f"{at}.key")
