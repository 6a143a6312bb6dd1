#!/usr/bin/env python3
"""The CycloneDX SBOM of a program, from the dependency list that it carries inside (section .dep-v0, by cargo-auditable).

Licences come from `cargo metadata` on standard input. Ends with 1 when the program carries no list."""

import hashlib
import json
import pathlib
import struct
import sys
import zlib

SECTION = b".dep-v0"


def section(elf: bytes, wanted: bytes) -> bytes:
    """The bytes of a section of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        sys.exit("not a 64-bit little-endian ELF file")
    table, size, count, names = (*struct.unpack_from("<Q", elf, 0x28), *struct.unpack_from("<HHH", elf, 0x3A))
    heads = [struct.unpack_from("<IIQQQQ", elf, table + number * size) for number in range(count)]
    at = heads[names][4]
    for name, _, _, _, offset, length in heads:
        if elf[at + name : elf.index(b"\0", at + name)] == wanted:
            return elf[offset : offset + length]
    sys.exit("the program carries no list of its dependencies")


def component(package: dict, licences: dict) -> dict:
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    told = {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}
    licence = licences.get((name, version))
    return told | ({"licenses": [{"expression": licence.replace("/", " OR ")}]} if licence else {})


program = pathlib.Path(sys.argv[1])
binary = program.read_bytes()
packages = json.loads(zlib.decompress(section(binary, SECTION)))["packages"]
licences = {(one["name"], one["version"]): one["license"] for one in json.load(sys.stdin)["packages"]}
# What only ran while it was built is not in it.
inside = [package for package in packages if package.get("kind", "runtime") == "runtime"]
root = next(package for package in inside if package.get("root"))
refs = [f"pkg:cargo/{package['name']}@{package['version']}" for package in packages]
sbom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {
        "component": component(root, licences)
        | {
            "type": "application",
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(binary).hexdigest()}],
        }
    },
    "components": [component(package, licences) for package in inside if package is not root],
    "dependencies": [
        {
            "ref": refs[packages.index(package)],
            "dependsOn": sorted({refs[number] for number in package.get("dependencies", []) if packages[number] in inside}),
        }
        for package in inside
    ],
}
json.dump(sbom, sys.stdout, indent=1)
print()
