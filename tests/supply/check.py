#!/usr/bin/env python3
"""Compares the SBOM of a program with Cargo.lock and with the schema of CycloneDX."""

import hashlib
import json
import pathlib
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

program = pathlib.Path(sys.argv[1])
text = pathlib.Path(f"{program}.cdx.json").read_text()
invalid = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
assert not invalid, invalid

sbom = json.loads(text)
told = {(one["name"], one["version"]) for one in sbom["components"]}
locked = {(one["name"], one["version"]) for one in tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]}
assert told <= locked, f"not in Cargo.lock: {told - locked}"
names = {name for name, _ in told}
inside, outside = {"tonic", "h2", "rustls", "aws-lc-rs", "rsa", "common"}, {"proptest", "rcgen", "jsonwebtoken", "protox"}
assert inside <= names and not names & outside, f"{inside - names} missing, {names & outside} too many"
assert all(one.get("licenses") for one in sbom["components"]), "a component without a licence"

subject = sbom["metadata"]["component"]
assert subject["name"] == program.name
assert subject["hashes"][0]["content"] == hashlib.sha256(program.read_bytes()).hexdigest()
refs = {one["ref"] for one in sbom["dependencies"]}
assert all(set(one["dependsOn"]) <= refs for one in sbom["dependencies"])
print(f"{program.name}: {len(told)} components")
