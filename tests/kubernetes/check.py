#!/usr/bin/env python3
"""Rendered manifests (NAME.1.MINOR.yaml): strict against that Kubernetes' schemas, and by the rules of the house. Prints the
custom resources, one JSON object a line, for crds.mjs. Ends with 1 and every finding."""

import copy
import json
import re
import sys

import kubernetes_validate
import yaml

# Made by the operator, never by us.
EXISTING = {
    ("Secret", "ipms-keys"), ("Secret", "ipms-dev-keys"), ("Secret", "ipms-redis"), ("Secret", "ipms-redis-tls"),
    ("ConfigMap", "ipms-log-keys"), ("ConfigMap", "ipms-dev-log-keys"),
}
CUSTOM = {"Certificate", "Issuer", "ServiceMonitor"}


def pods(documents):
    """Every pod template, with who makes it."""
    for one in documents:
        if one["kind"] == "Pod":
            yield one, one["metadata"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
            yield one, template["metadata"], template["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def rules(documents):
    """What every manifest of ours keeps to; each finding in words."""
    made = {("Secret", one["spec"]["secretName"]) for one in documents if one["kind"] == "Certificate"}
    made |= {(one["kind"], one["metadata"]["name"]) for one in documents}
    policies = [one["spec"]["podSelector"]["matchLabels"] for one in documents if one["kind"] == "NetworkPolicy"]
    for one in documents:
        if one["kind"] in ("Secret", "Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            yield f"{one['kind']}: none is made here"
    for owner, meta, spec in pods(documents):
        who = f"{owner['kind']}/{owner['metadata']['name']}"
        labels = meta["labels"]
        for key, wanted in {"automountServiceAccountToken": False, "enableServiceLinks": False}.items():
            if spec.get(key) is not wanted:
                yield f"{who}: {key} must be {wanted}"
        security = spec["securityContext"]
        if (security.get("runAsUser"), security.get("runAsNonRoot")) != (65532, True):
            yield f"{who}: runs as 65532"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if forbidden in spec:
                yield f"{who}: {forbidden}"
        if owner["kind"] in ("Deployment", "StatefulSet") and not any(selects(one, labels) for one in policies):
            yield f"{who}: no NetworkPolicy selects it"
        for container in containers(spec):
            name = f"{who}/{container['name']}"
            locked = {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            }
            if container.get("securityContext") != locked:
                yield f"{name}: is not restricted"
            if "command" in container or any("sh" == word or "-c" == word for word in container.get("args", [])):
                yield f"{name}: there is no shell"
            if not re.search(r":[^/]+$", container["image"]) or container["image"].endswith(":latest"):
                yield f"{name}: no fixed image"
            if "memory" not in container["resources"]["limits"] or "cpu" not in container["resources"]["requests"]:
                yield f"{name}: no resources"
            serves = any(port.get("name") == "health" for port in container.get("ports", []))
            if serves and not {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys():
                yield f"{name}: no probes"
            if serves and "service" in container["livenessProbe"]["grpc"]:
                yield f"{name}: liveness must not depend on a service"
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            volumes |= {one["metadata"]["name"] for one in owner["spec"].get("volumeClaimTemplates", [])}
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{name}: no volume {mount['name']}"
        for volume in spec.get("volumes", []):
            for kind, key in (("secret", "secretName"), ("configMap", "name")):
                if kind in volume:
                    wanted = ({"secret": "Secret", "configMap": "ConfigMap"}[kind], volume[kind][key])
                    if wanted not in made and wanted not in EXISTING:
                        yield f"{who}: nobody makes {wanted}"
                    if kind == "secret" and volume[kind].get("defaultMode") != 0o440:
                        yield f"{who}: the programs take a secret of mode 0440"
    for one in documents:
        if one["kind"] == "Service":
            reached = [spec for _, meta, spec in pods(documents) if selects(one["spec"]["selector"], meta["labels"])]
            names = {port.get("name") for spec in reached for box in containers(spec) for port in box.get("ports", [])}
            for port in one["spec"]["ports"]:
                if port["targetPort"] not in names:
                    yield f"Service/{one['metadata']['name']}: no pod has the port {port['targetPort']}"


def selects(selector, labels):
    return selector.items() <= labels.items()


def findings(documents, version):
    for one in documents:
        if one["kind"] not in CUSTOM:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{one['kind']}/{one['metadata']['name']}: {error.message}"
    yield from rules(documents)


def broken(documents):
    """The same with one fault each: if one is not found, nothing here proves anything."""
    owner = next(index for index, one in enumerate(documents) if one["kind"] in ("Deployment", "StatefulSet"))

    def changed(change):
        copied = copy.deepcopy(documents)
        change(copied[owner]["spec"]["template"]["spec"])
        return copied

    yield changed(lambda spec: spec.update(restartPolicyy="Always"))
    yield changed(lambda spec: spec["containers"][0].update(ports=[{"containerPort": "grpc"}]))
    yield changed(lambda spec: spec.pop("enableServiceLinks"))
    yield changed(lambda spec: containers(spec)[0]["securityContext"].pop("readOnlyRootFilesystem"))
    yield changed(lambda spec: containers(spec)[0].update(image="ipms/issuer:latest"))
    yield changed(lambda spec: spec["volumes"].append({"name": "x", "secret": {"secretName": "nobody", "defaultMode": 0o440}}))
    yield [one for one in documents if one["kind"] != "NetworkPolicy"]


def main():
    bad, checked, custom = [], 0, {}
    for path in sys.argv[1:]:
        version = re.search(r"\.(1\.\d+)\.yaml$", path).group(1)
        with open(path, encoding="utf-8") as file:
            documents = [one for one in yaml.safe_load_all(file) if one]
        bad += [f"{path}: {finding}" for finding in findings(documents, version)]
        checked += len(documents)
        for one in documents:
            if one["kind"] in CUSTOM:
                custom[json.dumps(one, sort_keys=True)] = one
    for number, fault in enumerate(broken(documents)):
        if not list(findings(fault, version)):
            bad.append(f"fault {number} was not found")
    for text in custom:
        print(text)
    print(f"  {checked} manifests in {len(sys.argv) - 1} renderings, {len(bad)} findings", file=sys.stderr)
    if bad or checked == 0:
        print("\n".join(bad[:40]), file=sys.stderr)
        sys.exit(1)


main()
