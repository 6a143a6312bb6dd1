"""PyJWT: takes what our issuer made, refuses what was tampered with, and makes tokens for us to judge."""

import glob
import json
import pathlib
import secrets
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization

ALIKE = ("BAD_SIGNATURE", "UNKNOWN_KEY", "WRONG_ISSUER", "WRONG_AUDIENCE", "UNSUPPORTED_ALGORITHM")
folder = pathlib.Path(sys.argv[1])
vectors = pathlib.Path(sys.argv[2])


def decode(token, keys, algorithms=("PS256", "RS256"), **options):
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=list(algorithms), **options)


def refused(what, token, keys, **options):
    try:
        decode(token, keys, **options)
    except (jwt.PyJWTError, KeyError):
        return
    raise SystemExit(f"PyJWT accepted: {what}")


def key_set(jwks):
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}


def flip(token, part):
    parts = token.split(".")
    raw = bytearray(jwt.utils.base64url_decode(parts[part]))
    raw[20] ^= 1
    parts[part] = jwt.utils.base64url_encode(bytes(raw)).decode()
    return ".".join(parts)


ours = json.loads((folder / "ours.json").read_text())
[pem] = glob.glob(str(folder / "keys" / "token-*.pem"))
private = serialization.load_pem_private_key(pathlib.Path(pem).read_bytes(), None)
made = []
for one in ours:
    keys = key_set(json.loads((folder / one["jwks"]).read_text()))
    expected = {"issuer": one["iss"], "audience": one["aud"]}
    claims = decode(one["token"], keys, **expected)
    header = jwt.get_unverified_header(one["token"])
    assert header == {"alg": one["alg"], "typ": "ipms-token+jwt", "kid": header["kid"]}, header
    for part in (1, 2):
        refused(f"part {part} changed", flip(one["token"], part), keys, **expected)
    refused("another audience", one["token"], keys, issuer=one["iss"], audience="other")
    refused("another issuer", one["token"], keys, issuer="other", audience=one["aud"])
    other = {"PS256": "RS256", "RS256": "PS256"}[one["alg"]]
    refused("another algorithm", one["token"], keys, algorithms=[other], **expected)

    def row(what, verdict, token):
        made.append({"what": what, "verdict": verdict, "token": token, "jwks": one["jwks"]})

    def encode(payload, algorithm=one["alg"], key=private, **changed):
        return jwt.encode(payload, key, algorithm=algorithm, headers={**header, **changed})

    claims["jti"] = jwt.utils.base64url_encode(secrets.token_bytes(16)).decode()
    good = encode(claims)
    assert decode(good, keys, **expected) == claims
    row("made by PyJWT", "ACCEPTED", good)
    for part in (1, 2):
        refused(f"own, part {part} changed", flip(good, part), keys, **expected)
        row(f"part {part} changed", "BAD_SIGNATURE", flip(good, part))
    row("default typ", "MALFORMED", encode(claims, typ="JWT"))
    row("a header member more", "MALFORMED", encode(claims, cty="x"))
    row("a claim more", "MALFORMED", encode({**claims, "admin": True}))
    row("times as fractions", "MALFORMED", encode({**claims, "exp": claims["exp"] + 0.5}))
    row("the other algorithm", "UNSUPPORTED_ALGORITHM", encode(claims, algorithm=other, alg=other))
    row("another hash", "UNSUPPORTED_ALGORITHM", encode(claims, algorithm="PS512", alg="PS512"))
    row("no signature", "UNSUPPORTED_ALGORITHM", jwt.encode(claims, None, algorithm="none", headers={**header, "alg": "none"}))
    row("a symmetric key", "UNSUPPORTED_ALGORITHM", jwt.encode(claims, b"0" * 64, algorithm="HS256", headers={**header, "alg": "HS256"}))
    row("an unknown key", "UNKNOWN_KEY", encode(claims, kid="A" * 43))
    row("expired", "EXPIRED", encode({**claims, "iat": 1000, "nbf": 1000, "exp": 2000}))
    row("not yet", "NOT_YET_VALID", encode({**claims, "iat": int(time.time()) + 60, "nbf": claims["nbf"]}))
    row("another audience", "WRONG_AUDIENCE", encode({**claims, "aud": "other"}))

(folder / "pyjwt.json").write_text(json.dumps(made))

# Our own vectors, as far as a general library judges: signature, issuer, audience. Time is the vectors' own.
judged = 0
for path in sorted(vectors.glob("*.json")):
    vector = json.loads(path.read_text())
    options = {"issuer": vector["issuer"], "audience": vector["audience"]}
    options["options"] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    # PyJWT makes no set of no keys.
    vector_keys = key_set({"keys": vector["keys"]}) if vector["keys"] else {}
    if vector["verdict"] == "ACCEPTED":
        decode(vector["token"], vector_keys, **options)
    elif vector["verdict"] in ALIKE:
        refused(path.name, vector["token"], vector_keys, **options)
    else:
        continue
    judged += 1
assert judged > 15, judged
print(f"PyJWT {jwt.__version__}: {len(ours)} of ours taken, {len(made)} made, {judged} vectors judged alike")
