"""The Helm chart renders what Kubernetes takes, and says plainly what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from helm_python import Chart, HelmError

CHART = Path(__file__).parents[2] / "deploy/helm/relay"
KUBERNETES = "1.33"

LEAST = {
    "hostname": "relay.example.com",
    "servers": {"storeUrl": "redis://store:6379/0", "brokerUrl": "redis://broker:6379/0"},
}
#: Kinds of operators, which Kubernetes' own schemas do not know.
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule"}
#: What a user may turn on, each with something that only then is there.
CHOICES: list[tuple[dict[str, Any], str]] = [
    ({}, "Deployment/relay-worker"),
    ({"http": {"enabled": False}}, "Deployment/relay-smtp"),
    ({"worker": {"autoscaling": {"kind": "hpa"}}}, "HorizontalPodAutoscaler/relay-worker"),
    ({"worker": {"autoscaling": {"kind": "keda"}}}, "ScaledObject/relay-worker"),
    ({"bundled": {"enabled": True, "password": "abc123"}}, "StatefulSet/relay-store"),
    ({"monitoring": {"serviceMonitor": True}}, "PodMonitor/relay"),
    ({"monitoring": {"rules": True}}, "PrometheusRule/relay"),
    ({"monitoring": {"dashboards": True}}, "ConfigMap/relay-overview"),
    ({"settings": {"RELAY_LOG__LEVEL": "debug"}}, "NetworkPolicy/relay-worker"),
    ({"tolerations": [{"operator": "Exists"}]}, "Secret/relay-servers"),
    ({"podAnnotations": {"a/b": "c"}}, "ServiceAccount/relay"),
]  # fmt: skip


def rendered(**values: Any) -> dict[str, dict[str, Any]]:
    """What the chart makes of the values, by kind and name."""
    with Chart.load(CHART) as chart:
        manifests = chart.render(LEAST | values, name="relay", namespace="mail")
    found = {}
    for path, text in manifests.items():
        for document in yaml.safe_load_all(text) if path.endswith(".yaml") else ():
            if document:
                found[f"{document['kind']}/{document['metadata']['name']}"] = document
    return found


@pytest.mark.parametrize(("values", "expected"), CHOICES, ids=[name for _, name in CHOICES])
def test_what_the_chart_makes_is_valid(values: dict[str, Any], expected: str) -> None:
    documents = rendered(**values)
    assert expected in documents
    for name, document in documents.items():
        if document["kind"] not in FOREIGN:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        assert json.dumps(document).count("<no value>") == 0, name


def test_the_chart_lints_clean() -> None:
    told = helm_python.lint(CHART, LEAST, strict=True)
    # Severity 1 is advice, such as to have an icon.
    assert [one for one in told["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"hostname": ""}, "hostname"),
        ({"servers": {"storeUrl": ""}}, "servers.storeUrl"),
        ({"bundled": {"enabled": True}}, "bundled.password"),
        ({"worker": {"replica": 3}}, "replica"),
        ({"worker": {"autoscaling": {"kind": "magic"}}}, "kind"),
        ({"settings": {"log_level": "debug"}}, "log_level"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], word: str) -> None:
    with pytest.raises(HelmError) as told:
        rendered(**values)
    assert word in str(told.value)


def test_pods_have_no_rights_and_secrets_stay_in_the_secret() -> None:
    secret = "s3cr3t"
    servers = {"storeUrl": f"redis://:{secret}@store/0", "brokerUrl": f"redis://:{secret}@b/0"}
    documents = rendered(servers=servers)
    for name, document in documents.items():
        assert (secret in json.dumps(document)) == (document["kind"] == "Secret"), name
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_a_pod_is_given_longer_than_its_worker_needs() -> None:
    pod = rendered(worker={"grace": 90})["Deployment/relay-worker"]["spec"]["template"]["spec"]
    environment = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert environment["RELAY_WORKER__GRACE"] == "90s"
    assert pod["terminationGracePeriodSeconds"] > 90


def test_an_autoscaled_worker_has_no_number_of_its_own() -> None:
    fixed = rendered()["Deployment/relay-worker"]["spec"]
    scaled = rendered(worker={"autoscaling": {"kind": "hpa"}})["Deployment/relay-worker"]["spec"]
    assert "replicas" in fixed
    assert "replicas" not in scaled


def test_a_settings_value_wins_over_the_charts_own() -> None:
    documents = rendered(worker={"settings": {"RELAY_METRICS__LISTEN": "127.0.0.1:9926"}})
    environment = documents["Deployment/relay-worker"]["spec"]["template"]["spec"]["containers"][0][
        "env"
    ]
    assert [one["name"] for one in environment].count("RELAY_METRICS__LISTEN") == 1
