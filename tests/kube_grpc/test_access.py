"""Where credentials and the default namespace come from."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from kube_grpc import access
from kube_grpc.access import Access
from kube_grpc.errors import AccessError


def test_the_context_that_is_named(kubeconfig: Path, api: Any) -> None:
    """The kubeconfig's server, and the named context's namespace; "default" where the context names none."""
    current, plain = Access(kubeconfig=str(kubeconfig)), Access(kubeconfig=str(kubeconfig), context="plain")

    assert (current.host, current.find_namespace()) == (api.url, "shop")
    assert plain.find_namespace() == "default"


def test_the_environment(kubeconfig: Path, api: Any) -> None:
    """KUBECONFIG counts before the service account of a pod."""
    environ = {"KUBECONFIG": str(kubeconfig), "KUBERNETES_SERVICE_HOST": "10.96.0.1"}

    assert Access(environ=environ).host == api.url


def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything else, the service account: its host, its namespace, and a token that is read anew."""
    for name, text in (("namespace", "web\n"), ("token", "one"), ("ca.crt", "x")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(access, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)

    found = Access()
    first = found.client
    (tmp_path / "token").write_text("two")

    assert (found.host, found.find_namespace()) == ("https://10.96.0.1:443", "web")
    assert found.renew()
    assert found.client is not first
    assert found.client.configuration.api_key["BearerToken"] == "bearer two"


def test_a_client_that_is_given() -> None:
    """It is used as it is, never renewed and never closed."""
    given = client.ApiClient(client.Configuration(host="https://one.test"))
    found = Access(api_client=given, environ={"KUBECONFIG": "/nowhere"})

    found.close()

    assert (found.client, found.renew(), found.host) == (given, False, "https://one.test")


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ({"kubeconfig": "/nowhere/config"}, "kubeconfig /nowhere/config: "),
        ({"kubeconfig": "KUBECONFIG", "context": "mars"}, ', context "mars": '),
    ],
)
def test_credentials_that_do_not_work(arguments: dict[str, str], source: str, kubeconfig: Path) -> None:
    """What was named and does not work is an error that says what was tried and what to do."""
    named = {key: str(kubeconfig) if value == "KUBECONFIG" else value for key, value in arguments.items()}
    with pytest.raises(AccessError) as caught:
        Access(**named)

    lines = str(caught.value).splitlines()
    assert lines[0].startswith("no access to a Kubernetes API: kubeconfig ")
    assert source in lines[0]
    assert lines[-2].startswith("  tried in this order: argument api_client, ")
    assert lines[-1].startswith("  do: pass one of the arguments, set KUBECONFIG, or run in a pod")


def test_the_librarys_default_is_left_alone(kubeconfig: Path) -> None:
    """Other code in the process that uses `kubernetes` does not notice this package, nor this package it."""
    before = client.Configuration._default
    client.Configuration.set_default(client.Configuration(host="https://elsewhere.test"))
    try:
        found = Access(kubeconfig=str(kubeconfig))

        assert found.host != "https://elsewhere.test"
        assert client.Configuration.get_default_copy().host == "https://elsewhere.test"
    finally:
        client.Configuration._default = before


def test_the_token_is_in_no_message(kubeconfig: Path) -> None:
    """A kubeconfig that can not be used is not quoted."""
    broken = json.loads(kubeconfig.read_text())
    broken["users"][0]["user"] = {"token": "hunter2"}
    broken["clusters"] = []
    kubeconfig.write_text(json.dumps(broken))

    with pytest.raises(AccessError) as caught:
        Access(kubeconfig=str(kubeconfig))

    assert "hunter2" not in str(caught.value)
