"""The manifests as a whole: what refers to what, and what they must never contain."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "manifests"
VARIANTS = (
    "clusterip",
    "headless",
    "headless-rr",
    "ingress",
    "pool",
    "pool-poll",
    "pool-random",
    "pool-least-outstanding",
    "pool-power-of-two",
    "pool-consistent-hash",
    "pool-aio",
)
Object = dict[str, Any]


def list_files(folder: Path) -> Iterator[Path]:
    """The files that `kubectl apply -k` takes, by `resources:` alone."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    for name in kustomization["resources"]:
        path = folder / name
        if path.is_dir():
            yield from list_files(path)
        else:
            yield path


def load(folder: Path = ROOT) -> list[Object]:
    return [
        each for path in list_files(folder) for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


OBJECTS = load()


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def template_of(deployment: Object) -> Object:
    found: Object = deployment["spec"]["template"]
    return found


def containers_of(deployment: Object) -> list[Object]:
    return list(template_of(deployment)["spec"]["containers"])


def select(deployments: list[Object], selector: dict[str, str]) -> list[Object]:
    return [
        each for each in deployments if selector.items() <= template_of(each)["metadata"]["labels"].items()
    ]


def find_broken_selectors(objects: list[Object]) -> list[str]:
    """Deployments that do not select their own pods only, and Services that select no pod or have no such port."""
    deployments = of_kind(objects, "Deployment")
    broken = [
        f"Deployment {each['metadata']['name']}: its selector is not for its own pods only"
        for each in deployments
        if select(deployments, each["spec"]["selector"]["matchLabels"]) != [each]
    ]
    for each in of_kind(objects, "Service"):
        selected = select(deployments, each["spec"]["selector"])
        for port in each["spec"]["ports"]:
            offered = [
                found["name"]
                for one in selected
                for container in containers_of(one)
                for found in container.get("ports", ())
            ]
            if port["targetPort"] not in offered:
                broken.append(f"Service {each['metadata']['name']}: no pod has a port {port['targetPort']}")
    return broken


def find_broken_references(objects: list[Object]) -> list[str]:
    """Names that nothing has: service accounts, Secrets, roles, Services' ports."""
    return [*find_broken_pods(objects), *find_broken_bindings(objects), *find_broken_backends(objects)]


def find_broken_pods(objects: list[Object]) -> Iterator[str]:
    accounts = {each["metadata"]["name"] for each in of_kind(objects, "ServiceAccount")}
    secrets = {tls["secretName"] for each in of_kind(objects, "Ingress") for tls in each["spec"]["tls"]}
    for each in of_kind(objects, "Deployment"):
        name = each["metadata"]["name"]
        account = template_of(each)["spec"].get("serviceAccountName")
        if account is not None and account not in accounts:
            yield f"Deployment {name}: no ServiceAccount {account}"
        for env in (env for container in containers_of(each) for env in container.get("env", ())):
            secret = env.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            if secret is not None and secret not in secrets:
                yield f"Deployment {name}: no Ingress asks for Secret {secret}"


def find_broken_bindings(objects: list[Object]) -> Iterator[str]:
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for each in of_kind(objects, "RoleBinding"):
        for reference in (each["roleRef"], *each["subjects"]):
            if (reference["kind"], reference["name"]) not in names:
                yield f"RoleBinding {each['metadata']['name']}: no {reference['kind']} {reference['name']}"


def find_broken_backends(objects: list[Object]) -> Iterator[str]:
    ports = {
        each["metadata"]["name"]: [port["name"] for port in each["spec"]["ports"]]
        for each in of_kind(objects, "Service")
    }
    for each in of_kind(objects, "Ingress"):
        for path in (path for rule in each["spec"]["rules"] for path in rule["http"]["paths"]):
            service = path["backend"]["service"]
            if service["port"]["name"] not in ports.get(service["name"], ()):
                yield f"Ingress {each['metadata']['name']}: no port {service['port']['name']}"


def find_wide_rights(objects: list[Object]) -> list[str]:
    """Anything cluster-wide, any wildcard, any right beyond the few that are needed."""
    wide = [f"{each['kind']} is cluster-wide" for each in objects if each["kind"].startswith("Cluster")]
    allowed = {
        ("discovery.k8s.io", "endpointslices"): {"list", "watch"},
        ("networking.k8s.io", "ingresses"): {"list", "watch"},
        ("", "secrets"): {"create"},
    }
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    verbs = set(rule["verbs"])
                    if resource == "secrets" and rule.get("resourceNames") == ["greeter-tls"]:
                        verbs -= {"get", "list", "watch"}
                    extra = verbs - allowed.get((group, resource), set())
                    wide.extend(
                        f"Role {role['metadata']['name']}: {verb} {resource}" for verb in sorted(extra)
                    )
    return wide


def find_unhardened(objects: list[Object]) -> list[str]:
    """Containers that could do more than they need."""
    found = []
    for each in of_kind(objects, "Deployment"):
        spec = template_of(each)["spec"]
        pod = spec.get("securityContext", {})
        if not pod.get("runAsNonRoot") or pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            found.append(each["metadata"]["name"])
        if "serviceAccountName" not in spec and spec.get("automountServiceAccountToken") is not False:
            found.append(each["metadata"]["name"])
        for container in spec["containers"]:
            context = container.get("securityContext", {})
            hardened = (
                context.get("allowPrivilegeEscalation") is False
                and context.get("readOnlyRootFilesystem") is True
                and context.get("capabilities") == {"drop": ["ALL"]}
            )
            if not hardened:
                found.append(each["metadata"]["name"])
    return found


def find_old_versions(objects: list[Object]) -> list[str]:
    return [each["apiVersion"] for each in objects if re.search(r"(alpha|beta)\d", each["apiVersion"])]


Finder = Callable[[list[Object]], list[str]]
FINDERS: dict[str, Finder] = {
    "selectors": find_broken_selectors,
    "references": find_broken_references,
    "rights": find_wide_rights,
    "hardening": find_unhardened,
    "versions": find_old_versions,
}


@pytest.mark.parametrize("what", FINDERS)
def test_manifests_are_consistent(what: str) -> None:
    """Selectors, references, rights, hardening and API versions: nothing to find fault with."""
    assert FINDERS[what](OBJECTS) == []


def find_object(objects: list[Object], kind: str, name: str) -> Object:
    return next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))


def break_service_selector(objects: list[Object]) -> None:
    find_object(objects, "Service", "greeter-headless")["spec"]["selector"] = {"app": "greter"}


def break_deployment_selector(objects: list[Object]) -> None:
    find_object(objects, "Deployment", "client-pool")["spec"]["selector"]["matchLabels"] = {"app": "client"}


def break_port(objects: list[Object]) -> None:
    find_object(objects, "Service", "greeter-clusterip")["spec"]["ports"][0]["targetPort"] = "http"


def break_account(objects: list[Object]) -> None:
    template_of(find_object(objects, "Deployment", "client-pool"))["spec"]["serviceAccountName"] = "pool"


def break_secret(objects: list[Object]) -> None:
    find_object(objects, "Ingress", "greeter")["spec"]["tls"][0]["secretName"] = "other"


def break_binding(objects: list[Object]) -> None:
    find_object(objects, "RoleBinding", "client-pool")["roleRef"]["name"] = "pool"


def break_backend(objects: list[Object]) -> None:
    path = find_object(objects, "Ingress", "greeter")["spec"]["rules"][0]["http"]["paths"][0]
    path["backend"]["service"]["port"]["name"] = "http"


def add_wildcard(objects: list[Object]) -> None:
    find_object(objects, "Role", "client-pool")["rules"][0]["verbs"] = ["*"]


def add_pods(objects: list[Object]) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    find_object(objects, "Role", "client-pool")["rules"].append(rule)


def widen_secrets(objects: list[Object]) -> None:
    for rule in find_object(objects, "Role", "ingress-gateway")["rules"]:
        rule.pop("resourceNames", None)


def add_cluster_role(objects: list[Object]) -> None:
    objects.append(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}}
    )


def run_as_root(objects: list[Object]) -> None:
    del template_of(find_object(objects, "Deployment", "greeter"))["spec"]["securityContext"]["runAsNonRoot"]


def mount_token(objects: list[Object]) -> None:
    del template_of(find_object(objects, "Deployment", "greeter"))["spec"]["automountServiceAccountToken"]


def write_root(objects: list[Object]) -> None:
    container = containers_of(find_object(objects, "Deployment", "client-pool"))[0]
    container["securityContext"]["readOnlyRootFilesystem"] = False


def use_beta(objects: list[Object]) -> None:
    find_object(objects, "Ingress", "greeter")["apiVersion"] = "networking.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("selectors", break_service_selector),
        ("selectors", break_deployment_selector),
        ("selectors", break_port),
        ("references", break_account),
        ("references", break_secret),
        ("references", break_binding),
        ("references", break_backend),
        ("rights", add_wildcard),
        ("rights", add_pods),
        ("rights", widen_secrets),
        ("rights", add_cluster_role),
        ("hardening", run_as_root),
        ("hardening", mount_token),
        ("hardening", write_root),
        ("versions", use_beta),
    ],
)
def test_fault_is_found(what: str, change: Callable[[list[Object]], None]) -> None:
    """Negative control: each kind of fault, put in, is found by its own check."""
    broken = copy.deepcopy(OBJECTS)
    change(broken)
    assert FINDERS[what](broken) != []


def test_every_file_is_applied() -> None:
    """No YAML file lies about that `kubectl apply -k` would not take."""
    lying = {path for path in ROOT.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert set(list_files(ROOT)) == lying


def test_kustomization_says_resources_and_nothing_else() -> None:
    """Any reader of `resources:` gets the same objects as kustomize."""
    for path in ROOT.rglob("kustomization.yaml"):
        assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == {"apiVersion", "kind", "resources"}


def test_names_are_those_of_the_documentation() -> None:
    """The names that the scenarios and the README use."""
    names = {(each["kind"], each["metadata"]["name"]) for each in OBJECTS}
    expected = {("Deployment", f"client-{variant}") for variant in VARIANTS}
    expected |= {("Deployment", "greeter"), ("Deployment", "ingress-gateway"), ("Ingress", "greeter")}
    expected |= {("Service", name) for name in ("greeter-clusterip", "greeter-headless", "ingress-gateway")}
    assert expected <= names


def test_no_namespace_is_fixed() -> None:
    """Everything goes into the namespace that it is applied to, and works there under any name."""
    for each in OBJECTS:
        assert "namespace" not in each["metadata"], each["metadata"]["name"]
        for subject in each.get("subjects", ()):
            assert "namespace" not in subject
    for each in of_kind(OBJECTS, "Deployment"):
        for argument in containers_of(each)[0]["args"]:
            if ".svc." in argument:
                assert ".$(POD_NAMESPACE).svc." in argument


@pytest.mark.parametrize("variant", VARIANTS)
def test_client_of_each_variant(variant: str) -> None:
    """Labels, container and variables are those that a harness relies on."""
    client = find_object(OBJECTS, "Deployment", f"client-{variant}")
    labels = {"app": "client", "kube-grpc.dev/variant": variant}
    assert client["metadata"]["labels"] == template_of(client)["metadata"]["labels"] == labels
    (container,) = containers_of(client)
    assert (container["name"], container["image"]) == ("client", "greeter-client:dev")
    assert container["args"][:2] == ["--variant", variant]
    environ = {each["name"] for each in container["env"]}
    assert {"POD_NAMESPACE", "RATE", "DEADLINE_S"} <= environ
    assert ("REFRESH_INTERVAL_S" in environ) == (variant == "pool-poll")
    assert ("INGRESS_CA" in environ) == (variant == "ingress")


def test_only_programs_that_ask_the_api_have_a_token() -> None:
    """The pools and the gateway have an account of their own, all others no token."""
    with_account = {
        each["metadata"]["name"]
        for each in of_kind(OBJECTS, "Deployment")
        if "serviceAccountName" in template_of(each)["spec"]
    }
    pools = {f"client-{variant}" for variant in VARIANTS if variant.startswith("pool")}
    assert with_account == {*pools, "ingress-gateway"}


def test_images_are_never_pulled_where_they_are() -> None:
    """Images that were loaded into a node are used; none is `latest`."""
    images = set()
    for each in of_kind(OBJECTS, "Deployment"):
        for container in containers_of(each):
            images.add(container["image"])
            assert container["imagePullPolicy"] == "IfNotPresent"
    assert images == {"greeter:dev", "greeter-client:dev", "greeter-gateway:dev"}


def test_no_port_needs_a_privilege() -> None:
    """Every port is one that a process without rights may bind."""
    ports = [
        port["containerPort"]
        for each in of_kind(OBJECTS, "Deployment")
        for container in containers_of(each)
        for port in container.get("ports", ())
    ]
    ports += [port["port"] for each in of_kind(OBJECTS, "Service") for port in each["spec"]["ports"]]
    assert ports
    assert min(ports) >= 1024


def test_ready_soon_and_stopped_in_time() -> None:
    """Readiness is asked each second; every program's own grace is shorter than the pod's."""
    for name in ("greeter", "ingress-gateway"):
        deployment = find_object(OBJECTS, "Deployment", name)
        (container,) = containers_of(deployment)
        assert container["readinessProbe"]["periodSeconds"] == 1
        grace_s = int(container["args"][container["args"].index("--grace") + 1])
        assert grace_s < template_of(deployment)["spec"]["terminationGracePeriodSeconds"]


def test_everything_fits_a_node_of_two_cores() -> None:
    """Ten Greeters, the gateway and the clients that run from the start ask for less than half a core and 1.5 GiB."""
    replicas = {"greeter": 10}
    cpu_m = memory_mi = 0
    for each in of_kind(OBJECTS, "Deployment"):
        count = replicas.get(each["metadata"]["name"], each["spec"]["replicas"])
        requests = containers_of(each)[0]["resources"]["requests"]
        cpu_m += count * int(requests["cpu"].removesuffix("m"))
        memory_mi += count * int(requests["memory"].removesuffix("Mi"))
    assert cpu_m < 500
    assert memory_mi < 1536
