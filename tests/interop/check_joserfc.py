"""joserfc: takes what our issuer made, refuses what was tampered with, and makes tokens for us to judge."""

import base64
import glob
import json
import pathlib
import secrets
import sys
import time
from importlib.metadata import version

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

# `alg` is the key's own for joserfc too: a header that contradicts its key (017) is refused.
ALIKE = ("BAD_SIGNATURE", "UNKNOWN_KEY", "WRONG_ISSUER", "WRONG_AUDIENCE", "UNSUPPORTED_ALGORITHM", "EXPIRED")
ALGORITHMS = ["PS256", "RS256"]
folder = pathlib.Path(sys.argv[1])
vectors = pathlib.Path(sys.argv[2])


def decode(token, keys, issuer, audience, algorithms=ALGORITHMS, now=None, leeway=0):
    found = jwt.decode(token, keys, algorithms=algorithms)
    wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
    jwt.JWTClaimsRegistry(now=now, leeway=leeway, exp={"essential": True}, **wanted).validate(found.claims)
    return found


def key_set(keys):
    # joserfc imports no set of no keys.
    return KeySet.import_key_set({"keys": keys}) if keys else KeySet([])


def refused(what, *arguments, **options):
    try:
        decode(*arguments, **options)
    except (JoseError, ValueError):
        return
    raise SystemExit(f"joserfc accepted: {what}")


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def flip(token, part):
    parts = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4)))
    raw[20] ^= 1
    parts[part] = encode(bytes(raw))
    return ".".join(parts)


ours = json.loads((folder / "ours.json").read_text())
[pem] = glob.glob(str(folder / "keys" / "token-*.pem"))
private = RSAKey.import_key(pathlib.Path(pem).read_bytes())
lenient = JWSRegistry(algorithms=[*ALGORITHMS, "PS512", "none"], strict_check_header=False)
made = []
for one in ours:
    keys = key_set(json.loads((folder / one["jwks"]).read_text())["keys"])
    expected = (one["iss"], one["aud"])
    taken = decode(one["token"], keys, *expected)
    header, claims = taken.header, taken.claims
    assert header == {"alg": one["alg"], "typ": "ipms-token+jwt", "kid": header["kid"]}, header
    for part in (1, 2):
        refused(f"part {part} changed", flip(one["token"], part), keys, *expected)
    refused("another audience", one["token"], keys, one["iss"], "other")
    refused("another issuer", one["token"], keys, "other", one["aud"])
    refused("too late", one["token"], keys, *expected, now=claims["exp"])
    other = {"PS256": "RS256", "RS256": "PS256"}[one["alg"]]
    refused("another algorithm", one["token"], keys, *expected, algorithms=[other])

    def row(what, verdict, token):
        made.append({"what": what, "verdict": verdict, "token": token, "jwks": one["jwks"]})

    def sign(payload, **changed):
        text = json.dumps(payload, separators=(",", ":"))
        return serialize_compact({**header, **changed}, text, private, registry=lenient)

    claims["jti"] = encode(secrets.token_bytes(16))
    good = jwt.encode(header, claims, private, algorithms=ALGORITHMS, default_type=None)
    assert decode(good, keys, *expected).claims == claims
    row("made by joserfc", "ACCEPTED", good)
    for part in (1, 2):
        refused(f"own, part {part} changed", flip(good, part), keys, *expected)
        row(f"part {part} changed", "BAD_SIGNATURE", flip(good, part))
    row("default typ", "MALFORMED", sign(claims, typ="JWT"))
    row("a header member more", "MALFORMED", sign(claims, cty="x"))
    row("a claim more", "MALFORMED", sign({**claims, "admin": True}))
    row("a claim less", "MALFORMED", sign({name: value for name, value in claims.items() if name != "nbf"}))
    row("times as text", "MALFORMED", sign({**claims, "exp": str(claims["exp"])}))
    row("the other algorithm", "UNSUPPORTED_ALGORITHM", sign(claims, alg=other))
    row("another hash", "UNSUPPORTED_ALGORITHM", sign(claims, alg="PS512"))
    row("an unknown key", "UNKNOWN_KEY", sign(claims, kid="A" * 43))
    row("expired", "EXPIRED", sign({**claims, "iat": 1000, "nbf": 1000, "exp": 2000}))
    row("not yet", "NOT_YET_VALID", sign({**claims, "iat": int(time.time()) + 60, "nbf": claims["nbf"]}))
    row("another issuer", "WRONG_ISSUER", sign({**claims, "iss": "other"}))
    row("another audience", "WRONG_AUDIENCE", sign({**claims, "aud": "other"}))

(folder / "joserfc.json").write_text(json.dumps(made))

# Our own vectors, as far as a general library judges, at the vectors' own time.
judged = 0
for path in sorted(vectors.glob("*.json")):
    vector = json.loads(path.read_text())
    # One leeway for all of exp, nbf and iat is not ours.
    leeway = vector["leeway_seconds"] if path.name.startswith("007_") else 0
    arguments = (vector["token"], key_set(vector["keys"]), vector["issuer"], vector["audience"])
    if vector["verdict"] == "ACCEPTED":
        decode(*arguments, now=vector["now"], leeway=leeway)
    elif vector["verdict"] in ALIKE:
        refused(path.name, *arguments, now=vector["now"])
    else:
        continue
    judged += 1
assert judged > 20, judged
print(f"joserfc {version('joserfc')}: {len(ours)} of ours taken, {len(made)} made, {judged} vectors judged alike")
