"""The rights a pool needs, as the YAML to apply. Pure.

Rule: list and watch EndpointSlices in the Service's own namespace; nothing else, nothing cluster-wide.
(A Role can not be narrowed to one Service: list and watch by label are not limited by resourceNames.)
"""

from __future__ import annotations

import re

ROLE_NAME = "kube-grpc"

_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")


def write_role(namespace: str, subject: str | None = None) -> str:
    """Role and RoleBinding as YAML.

    `subject` is a user name as the API server says it; `system:serviceaccount:NAMESPACE:NAME` becomes a
    ServiceAccount subject. None stands for the namespace's service account `default`, which pods run as
    unless told otherwise.
    """
    return f"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {ROLE_NAME}
  namespace: {namespace}
rules:
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {ROLE_NAME}
  namespace: {namespace}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {ROLE_NAME}
subjects:
{_write_subject(namespace, subject)}
"""


def _write_subject(namespace: str, subject: str | None) -> str:
    if subject is None:
        return f"- kind: ServiceAccount\n  name: default\n  namespace: {namespace}"
    match = _SERVICE_ACCOUNT.fullmatch(subject)
    if match is not None:
        return f"- kind: ServiceAccount\n  name: {match[2]}\n  namespace: {match[1]}"
    quoted = subject.replace("'", "''")
    return f"- apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: '{quoted}'"
