#!/usr/bin/env python3
"""The chart's manifests without what is Helm's: settings come from the overlays' files, and a change of them is a new name."""

import sys

import yaml

OURS = {"app.kubernetes.io/managed-by", "app.kubernetes.io/version"}


def strip(value):
    """Without labels that only Helm keeps true, and without the hash of Helm's settings."""
    if isinstance(value, dict):
        kept = {key: strip(one) for key, one in value.items() if key not in OURS and key != "ipms.token/settings"}
        return {key: one for key, one in kept.items() if not (key == "annotations" and not one)}
    if isinstance(value, list):
        return [strip(one) for one in value]
    return value


def main():
    documents = [strip(one) for one in yaml.safe_load_all(sys.stdin) if one and one["kind"] != "ConfigMap"]
    documents.sort(key=lambda one: (one["kind"], one["metadata"]["name"]))
    print("# Made by ../regenerate from the chart; do not edit.")
    print(yaml.safe_dump_all(documents, sort_keys=False, width=120), end="")


main()
