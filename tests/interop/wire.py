"""Reads what an issuer tells verifiers by docs/TOKEN.md alone: signatures, statements, entries, the chain of hashes."""

import base64
import hashlib
import json
import pathlib
import sys
import uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

folder = pathlib.Path(sys.argv[1])
FIELDS = ("type", "project", "organisation", "source_project", "source_organisation")
MASKS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 24)


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def thumbprint(modulus):
    jwk = '{"e":"AQAB","kty":"RSA","n":"%s"}' % encode(modulus)
    return hashlib.sha256(jwk.encode()).digest()


class Reader:
    def __init__(self, raw):
        self.raw = raw

    def take(self, count):
        assert len(self.raw) >= count, "cut short"
        taken, self.raw = self.raw[:count], self.raw[count:]
        return taken

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def text(self, size):
        return self.take(self.number(size)).decode()

    def cursor(self):
        return [self.number(8), self.number(8)]

    def end(self):
        assert not self.raw, "bytes left over"


def believed(signed, context, algorithm):
    key = serialization.load_pem_public_key((folder / "keys/log.public.pem").read_bytes())
    numbers = key.public_numbers()
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    assert encode(thumbprint(modulus)) == signed["key"]
    scheme = padding.PKCS1v15() if algorithm == "RS256" else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    raw, signature = decode(signed["bytes"]), decode(signed["signature"])
    key.verify(signature, context + raw, scheme, hashes.SHA256())
    for wrong in (raw, b"ipms-other/v1\0" + raw, context + raw + b"\0"):
        try:
            key.verify(signature, wrong, scheme, hashes.SHA256())
        except InvalidSignature:
            continue
        raise SystemExit("a signature over something else was taken")
    return Reader(raw)


def head(reader):
    assert reader.number(1) == 1
    read = {"issuer": reader.text(2), "realm": reader.text(2), "epoch": reader.number(8)}
    read["base"] = (reader.number(8), reader.take(32))
    read["end"] = (reader.number(8), reader.take(32))
    read["log_time"] = reader.number(8)
    reader.end()
    return read


def trust(reader):
    assert reader.number(1) == 1
    read = {"issuer": reader.text(2), "realm": reader.text(2), "stated_at": reader.number(8)}
    read["limits"] = [reader.cursor() for _ in range(3)]
    keys = []
    for _ in range(reader.number(1)):
        assert reader.number(1) in (1, 2)
        keys.append(thumbprint(reader.take(reader.number(2))))
    reader.end()
    assert keys == sorted(set(keys))
    read["keys"] = [encode(key) for key in keys]
    return read


def rule(reader):
    kind = reader.number(1)
    if kind == 1:
        return {"token": encode(reader.take(16))}
    if kind == 2:
        return {"key": encode(reader.take(32))}
    assert kind == 3
    mask = reader.number(1)
    assert mask in MASKS
    scope = dict.fromkeys(FIELDS)
    for bit, field in enumerate(FIELDS):
        if not mask & 1 << bit:
            continue
        if field == "type":
            scope[field] = reader.number(1)
        elif field.endswith("project"):
            scope[field] = reader.text(1)
        else:
            scope[field] = str(uuid.UUID(bytes=reader.take(16)))
    return {"scope": scope}


def entry(raw, epoch, sequence):
    reader = Reader(raw)
    assert reader.number(1) == 1
    kind = reader.number(1)
    assert reader.cursor() == [epoch, sequence]
    read = {"times": reader.cursor()}
    if kind == 0:
        assert sequence == 1
        read["genesis"] = len(reader.raw) // 16
        return read
    assert kind == 1 and sequence > 1
    read["reason"] = reader.number(1)
    read["cut"] = reader.cursor()
    assert read["cut"] <= [epoch, sequence]
    read["rule"] = rule(reader)
    read["project"] = [reader.text(1), reader.number(8)] if reader.raw else None
    reader.end()
    return read


for algorithm in ("PS256", "RS256"):
    told = json.loads((folder / f"{algorithm}.log.json").read_text())
    means = told["means"]
    the_head = head(believed(told["head"], b"ipms-log-head/v1\0", algorithm))
    the_trust = trust(believed(told["trust"], b"ipms-trust/v1\0", algorithm))
    for name in ("issuer", "realm"):
        assert the_head[name] == the_trust[name] == means[name]
    for name in ("epoch", "log_time"):
        assert the_head[name] == means[name]
    for name in ("limits", "keys"):
        assert the_trust[name] == means[name], name

    (sequence, link), entries = the_head["base"], []
    assert (sequence, link) == (0, bytes(32))
    for run in map(decode, told["runs"]):
        reader = Reader(run)
        while reader.raw:
            raw = reader.take(reader.number(2))
            sequence += 1
            link = hashlib.sha256(link + raw).digest()
            entries.append(entry(raw, the_head["epoch"], sequence))
    assert (sequence, link) == the_head["end"], "the chain does not end where the head says"
    assert entries == means["entries"]
    assert {key for one in entries for key in one.get("rule", {})} == {"token", "key", "scope"}
    print(f"docs/TOKEN.md, {algorithm}: head, trust statement and {len(entries)} entries read as they are meant")
