"""studies/services/kubernetes.yml: valid, and the same services as docker-compose.yml's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from command import REPOSITORY
from services import compose

FILE = REPOSITORY / "studies" / "services" / "kubernetes.yml"
OBJECTS: list[Any] = list(yaml.safe_load_all(FILE.read_text()))
SERVICES = compose({})["services"]
OURS, REGISTRY = SERVICES["mlflow"]["image"], "registry.example/"


def named(kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


WORKLOADS = named("StatefulSet") | named("Deployment") | named("Job")


def pod(workload: Any) -> Any:
    return workload["spec"]["template"]["spec"]


def containers() -> dict[str, Any]:
    """By name, those that make something ready included."""
    return {
        each["name"]: each
        for workload in WORKLOADS.values()
        for each in (*pod(workload).get("initContainers", []), *pod(workload)["containers"])
    }


def test_each_object_fits_the_schema() -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="install kubernetes-validate, which has Kubernetes' schemas"
    )
    for each in OBJECTS:
        validate.validate(each, validate.latest_version(), strict=True)


def test_the_same_images_and_commands() -> None:
    found = containers()
    assert set(found) == set(SERVICES) - {"roles"}
    for name, container in found.items():
        described, image = SERVICES[name], container["image"].removeprefix(REGISTRY)
        assert image == described["image"], name
        assert container["image"].startswith(REGISTRY) == (image == OURS), name
        if name == "lockstep":
            assert container["args"] == ["lockstep", "launch", "digits-3v6"]
        else:
            known = [word.replace(",localhost:5000,", ",") for word in described["command"]]
            args = [word.replace(",localhost:5000,", ",") for word in container["args"]]
            assert [w.split("127.0.0.1")[0] for w in args] == [
                w.split("127.0.0.1")[0] for w in known
            ], name
    first = found["postgres"]["command"]
    assert [word.replace("$", "") for word in first] == [
        word.replace("$", "") for word in SERVICES["postgres"]["entrypoint"]
    ]


def test_the_same_roles() -> None:
    """The statements are in both files, since neither can read the other."""
    statements = named("ConfigMap")["roles"]["data"]["roles.sql"].strip()
    (script,) = SERVICES["roles"]["command"]
    assert statements == script.split("<<'END'\n", 1)[1].rsplit("\nEND", 1)[0].strip()


def test_the_same_settings() -> None:
    """But for those of the user's and for what Docker mounts."""
    found = {each["name"]: each.get("value") for each in containers()["lockstep"]["env"]}
    own = SERVICES["lockstep"]["environment"]
    for name in ("LOCKSTEP_CLUSTER", "LOCKSTEP_STORAGE", "LOCKSTEP_UI_ADDRESS"):
        assert found[name] == own[name]
    assert found["MLFLOW_TRACKING_URI"] == own["MLFLOW_TRACKING_URI"]
    for name in ("worker", "scheduler"):
        assert containers()[name]["envFrom"] == [{"configMapRef": {"name": "dask"}}]
        assert named("ConfigMap")["dask"]["data"] == SERVICES[name]["environment"], name


def test_each_password_is_where_it_is_needed_only() -> None:
    keys = {
        name: each["valueFrom"]["secretKeyRef"]["key"]
        for name, container in containers().items()
        for each in container.get("env", [])
        if each["name"] == "PGPASSWORD"
    }
    assert keys == {
        name: SERVICES[name]["secrets"][0]["source"]
        for name in ("mlflow", "tables", "dashboard", "lockstep")
    }
    mounting = [
        name
        for name, workload in WORKLOADS.items()
        if any("secret" in volume for volume in pod(workload)["volumes"])
    ]
    assert mounting == ["postgres"], "which gives the roles their passwords"


def test_nothing_may_do_more_than_it_needs() -> None:
    for name, workload in WORKLOADS.items():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, "MLflow takes MLFLOW_PORT for its own"
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for each in (*spec.get("initContainers", []), *spec["containers"]):
            closed = each["securityContext"]
            assert closed["readOnlyRootFilesystem"] is True, name
            assert closed["allowPrivilegeEscalation"] is False, name
            assert closed["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in each["resources"]["limits"], name
            mounts = {mount["name"] for mount in each["volumeMounts"]}
            claims = workload["spec"].get("volumeClaimTemplates", [])
            volumes = {
                volume["name"] for volume in (*spec["volumes"], *(c["metadata"] for c in claims))
            }
            assert mounts <= volumes, name


def test_names_meet() -> None:
    """Services select pods, policies name pods, claims are there, probes ask open ports."""
    labels = {
        workload["spec"]["template"]["metadata"]["labels"]["app"] for workload in WORKLOADS.values()
    }
    for name, workload in WORKLOADS.items():
        if workload["kind"] != "Job":
            selector = workload["spec"]["selector"]["matchLabels"]
            assert selector == workload["spec"]["template"]["metadata"]["labels"], name
        for volume in pod(workload)["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in named("PersistentVolumeClaim"), name
        for container in pod(workload)["containers"]:
            open_ports = {port["containerPort"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in open_ports, name
    for name, service in named("Service").items():
        workload = WORKLOADS[name]
        assert service["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]
        (container,) = pod(workload)["containers"]
        assert [p["port"] for p in service["spec"]["ports"]] == [
            p["containerPort"] for p in container["ports"]
        ]
    policies = str(named("NetworkPolicy"))
    for label in labels:
        assert f"'{label}'" in policies, label
