"""One valid object of each kind that has rules of its own, for the fuzzer to start from."""

from __future__ import annotations

from typing import Any

_POD: dict[str, Any] = {
    "containers": [
        {
            "name": "c",
            "image": "i:1",
            "command": ["x"],
            "ports": [{"containerPort": 80, "name": "http"}],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
    ],
    "initContainers": [{"name": "i", "image": "i:1", "restartPolicy": "Always"}],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "configMap": {"name": "a"}}],
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}],
    "nodeSelector": {"a": "b"},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "a",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
    ],
    "terminationGracePeriodSeconds": 5,
}
_SELECTOR = {
    "matchLabels": {"app": "a"},
    "matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}],
}
_TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": _POD}
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}]
_SUBJECTS = [
    {"kind": "ServiceAccount", "name": "a", "namespace": "fuzz-a"},
    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
]
_RBAC = "rbac.authorization.k8s.io"
_ATTRIBUTES = {"verb": "get", "resource": "pods", "namespace": "fuzz-a"}

VALID: dict[str, dict[str, Any]] = {
    "pods": {"spec": _POD},
    "podtemplates": {"template": _TEMPLATE},
    "services": {
        "spec": {
            "selector": {"app": "a"},
            "ports": [{"port": 80, "targetPort": "http", "name": "h"}],
            "type": "ClusterIP",
        }
    },
    "configmaps": {"data": {"a": "b"}, "binaryData": {"c": "AA=="}},
    "secrets": {"type": "Opaque", "data": {"a": "AA=="}, "stringData": {"b": "c"}},
    "serviceaccounts": {"automountServiceAccountToken": False},
    "namespaces": {"spec": {"finalizers": ["kubernetes"]}},
    "nodes": {
        "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "1"}},
    },
    "events": {
        "involvedObject": {"kind": "Pod", "name": "a", "namespace": "fuzz-a"},
        "reason": "R",
        "message": "m",
        "type": "Normal",
    },
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "replicationcontrollers": {"spec": {"replicas": 1, "selector": {"app": "a"}, "template": _TEMPLATE}},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "deployments.apps": {
        "spec": {
            "replicas": 2,
            "selector": _SELECTOR,
            "template": _TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        }
    },
    "replicasets.apps": {"spec": {"replicas": 1, "selector": _SELECTOR, "template": _TEMPLATE}},
    "statefulsets.apps": {"spec": {"serviceName": "a", "selector": _SELECTOR, "template": _TEMPLATE}},
    "daemonsets.apps": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "controllerrevisions.apps": {"revision": 1, "data": {"a": 1}},
    "jobs.batch": {"spec": {"completions": 1, "template": {"spec": _POD | {"restartPolicy": "Never"}}}},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "h", "port": 80, "protocol": "TCP"}],
    },
    "leases.coordination.k8s.io": {
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00.000000Z"}
    },
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": "50%", "selector": _SELECTOR}},
    "ingresses.networking.k8s.io": {
        "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}
    },
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    f"roles.{_RBAC}": {"rules": _RULES},
    f"clusterroles.{_RBAC}": {
        "rules": [*_RULES, {"nonResourceURLs": ["/x"], "verbs": ["get"]}],
        "aggregationRule": {"clusterRoleSelectors": [_SELECTOR]},
    },
    f"rolebindings.{_RBAC}": {
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "a"},
        "subjects": _SUBJECTS,
    },
    f"clusterrolebindings.{_RBAC}": {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "a"},
        "subjects": _SUBJECTS,
    },
    "storageclasses.storage.k8s.io": {"provisioner": "a/b"},
    "priorityclasses.scheduling.k8s.io": {"value": 1},
    "selfsubjectaccessreviews.authorization.k8s.io": {"spec": {"resourceAttributes": _ATTRIBUTES}},
    "subjectaccessreviews.authorization.k8s.io": {
        "spec": {"user": "u", "groups": ["g"], "resourceAttributes": _ATTRIBUTES}
    },
    "localsubjectaccessreviews.authorization.k8s.io": {
        "metadata": {"namespace": "fuzz-a"},
        "spec": {"user": "u", "resourceAttributes": _ATTRIBUTES},
    },
    "selfsubjectrulesreviews.authorization.k8s.io": {"spec": {"namespace": "fuzz-a"}},
    "tokenreviews.authentication.k8s.io": {"spec": {"token": "x.y.z", "audiences": ["a"]}},
}
