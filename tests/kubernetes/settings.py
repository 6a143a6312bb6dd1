#!/usr/bin/env python3
"""The settings inside of rendered manifests, taken by the real programs: `settings.py MANIFESTS BINARIES` runs `check-config` with each,
its paths moved to files made here. Needs openssl."""

import os
import pathlib
import subprocess
import sys
import tempfile

import yaml


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def files(room, binaries):
    """Keys as the operator makes them, and a certificate of nobody."""
    key, certificate = room / "tls.key", room / "tls.crt"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=x",
            "-addext", "subjectAltName=DNS:x.internal", "-addext", "basicConstraints=critical,CA:false",
            "-keyout", str(key), "-out", str(certificate))
    key.chmod(0o600)
    authority = room / "ca.crt"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=ca",
            "-keyout", str(room / "ca.key"), "-out", str(authority))
    environment = {"ISSUER_KEYS__DIRECTORY": str(room / "keys")}
    subprocess.run([binaries / "issuer", "keys", "generate"], check=True, capture_output=True, env=environment)
    return key, certificate, authority


def main():
    manifests, binaries = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    with open(manifests, encoding="utf-8") as file:
        documents = [one for one in yaml.safe_load_all(file) if one and one["kind"] == "ConfigMap"]
    taken = 0
    with tempfile.TemporaryDirectory() as name:
        room = pathlib.Path(name)
        key, certificate, authority = files(room, binaries)
        moved = {
            "issuer": {"KEYS__DIRECTORY": room / "keys", "TLS__CERTIFICATE": certificate, "TLS__KEY": key, "TLS__CLIENT_CA": authority},
            "verifier": {"ISSUER__LOG_KEYS": room / "keys/log.public.pem", "ISSUER__CA": authority, "ISSUER__CERTIFICATE": certificate,
                         "ISSUER__KEY": key},
        }
        for document in documents:
            for settings, text in document["data"].items():
                program = settings.removesuffix(".toml")
                path = room / settings
                path.write_text(text, encoding="utf-8")
                places = moved[program] | (moved["issuer"] if "[tls]" in text else {})
                if program == "verifier":
                    places.pop("KEYS__DIRECTORY", None)
                    places["FOLLOWER__ID"] = "pod"
                environment = {f"{program.upper()}_{place}": str(value) for place, value in places.items()}
                told = subprocess.run([binaries / program, "check-config", "--config", path], env=environment,
                                      capture_output=True, text=True, check=False)
                if told.returncode != 0:
                    sys.exit(f"{manifests}: {settings}: {told.stdout}{told.stderr}")
                taken += 1
    if taken == 0:
        sys.exit(f"{manifests}: no settings")


main()
