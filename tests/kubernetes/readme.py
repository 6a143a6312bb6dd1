#!/usr/bin/env python3
"""Runs the `sh` blocks of deploy/README.md: `readme.py HELM KUBECTL BINARIES`. There is no API server, so Helm and kubectl render
what they would send, strictly checked; everything else is real. Drills run in one folder, one after the other, on an issuer's files
after it revoked something, and their `# →` lines must be in the output."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

CUSTOM = {"Certificate", "Issuer", "ServiceMonitor"}
HELM = """#!/bin/sh
echo --- >>"$RENDERED"
case "$1" in
upgrade) shift; [ "$1" != --install ] || shift; exec "$REAL_HELM" template "$@" >>"$RENDERED" ;;
test) exec "$REAL_HELM" template "$2" deploy/chart --namespace "$4" -f deploy/chart/values-dev.yaml \\
    --show-only templates/test.yaml >>"$RENDERED" ;;
*) echo "not known here: helm $*" >&2; exit 1 ;;
esac
"""
KUBECTL = """#!/bin/sh
echo --- >>"$RENDERED"
case "$1 $2" in
"create "*) exec "$REAL_KUBECTL" "$@" --dry-run=client -o yaml >>"$RENDERED" ;;
"apply -k") exec "$REAL_KUBECTL" kustomize "$3" >>"$RENDERED" ;;
*) echo "not known here: kubectl $*" >&2; exit 1 ;;
esac
"""


def blocks(text):
    return re.findall(r"^```(sh(?: drill)?)\n(.*?)^```$", text, re.M | re.S)


def run(block, folder, environment):
    told = subprocess.run(["sh", "-euc", block], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    output = told.stdout + told.stderr
    if told.returncode != 0:
        sys.exit(f"{block}\nended with {told.returncode}:\n{output}")
    return output


def main():
    helm, kubectl, binaries = (str(pathlib.Path(one).resolve()) for one in sys.argv[1:4])
    top = pathlib.Path.cwd()
    text = (top / "deploy/README.md").read_text(encoding="utf-8")
    found, drilled = blocks(text), 0
    with tempfile.TemporaryDirectory() as name:
        room = pathlib.Path(name)
        shims, work = room / "bin", room / "work"
        shims.mkdir()
        work.mkdir()
        (work / "deploy").symlink_to(top / "deploy")
        for program, script in (("helm", HELM), ("kubectl", KUBECTL)):
            (shims / program).write_text(script, encoding="utf-8")
            (shims / program).chmod(0o755)
        environment = {
            "PATH": f"{shims}:{binaries}:{os.environ['PATH']}", "HOME": str(room), "REAL_HELM": helm, "REAL_KUBECTL": kubectl,
            "RENDERED": str(room / "rendered.yaml"),
        }
        # The drill's issuer keeps everything in the folder of the blocks, as its defaults have it; it revoked something.
        for kind, block in found:
            if kind == "sh drill":
                if drilled == 0:
                    subprocess.run([sys.executable, top / "tests/kubernetes/lived.py", binaries, work], check=True)
                for command, wanted in re.findall(r"((?:^(?!# →).*\n)+)# → (.*)\n?", block, re.M):
                    output = run(command, work, environment)
                    if wanted not in output:
                        sys.exit(f"{command}does not say `{wanted}`:\n{output}")
                    drilled += 1
                continue
            run(block, work, environment)
        with open(room / "rendered.yaml", encoding="utf-8") as file:
            manifests = [one for one in yaml.safe_load_all(file) if one]
    for one in manifests:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, "1.37", strict=True)
    if len(found) < 8 or drilled < 4 or len(manifests) < 60:
        sys.exit(f"only {len(found)} blocks, {drilled} steps of drills, {len(manifests)} manifests")
    print(f"  {len(found)} blocks of deploy/README.md: {len(manifests)} manifests, {drilled} steps of drills")


main()
