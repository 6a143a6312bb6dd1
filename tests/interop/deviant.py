"""Makes tokens that our key signed and that deviate in one thing each, and lets PyJWT and joserfc judge them.

Leaves `deviant.json`, what is to be judged, and `deviant.pyjwt.json` and `deviant.joserfc.json`: for each token whether the
library takes it as its first example does (key set, algorithms, issuer and audience given), and when it is told to check all
that it can.
"""

import base64
import glob
import json
import pathlib
import sys
import warnings

import joserfc.errors
import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from joserfc.jwt import decode as joserfc_decode

folder = pathlib.Path(sys.argv[1])
[pem] = glob.glob(str(folder / "keys" / "token-*.pem"))
private = serialization.load_pem_private_key(pathlib.Path(pem).read_bytes(), None)
ours = json.loads((folder / "ours.json").read_text())
[first] = [one for one in ours if one["alg"] == "PS256"][:1]
ALGORITHMS = ["PS256", "RS256"]
NEEDED = ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"]


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def dump(value):
    return json.dumps(value, separators=(",", ":"))


def signature(signed, salt=32, pkcs1=False):
    scheme = padding.PKCS1v15() if pkcs1 else padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    return private.sign(signed.encode(), scheme, hashes.SHA256())


header, claims = map(decoded, first["token"].split(".")[:2])
assert claims["token_type"] == "PSEUDONYMISATION", "its lifetime leaves room for the cases below"


def token(head=None, body=None, spell=None, **how):
    """Header and claims: changed members, or the text itself. `spell` changes how a part is written before it is signed."""
    texts = [given if isinstance(given, str) else dump({**whole, **(given or {})})
             for given, whole in ((head, header), (body, claims))]
    parts = [encode(text.encode()) for text in texts]
    if spell:
        parts = spell(*parts)
    signed = ".".join(parts)
    return f"{signed}.{encode(signature(signed, **how))}"


def without(whole, *names):
    return dump({name: value for name, value in whole.items() if name not in names})


def twice(whole, name, before):
    """The member comes twice; the last one is the good one."""
    return "{" + f"{dump(name)}:{dump(before)}," + dump(whole)[1:]


def open_ended(part):
    """The same bytes, with a last character whose unused bits are not zero."""
    assert len(part) % 4, "there are no unused bits"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def with_rest(head, body):
    """Claims of a length that leaves unused bits."""
    return next(text for text in (body + " " * more for more in range(3)) if len(text.encode()) % 3)


good = token()
rest = with_rest(header, dump(claims))
swap = str.maketrans("-_", "+/")
CASES = [
    ("nothing", "ACCEPTED", good),
    ("`crit` names an extension that nobody knows", "MALFORMED", token({"crit": ["x"], "x": 1})),
    ("`crit` names `exp`, which stands in the header", "MALFORMED", token({"crit": ["exp"], "exp": 1})),
    ("`crit` is empty", "MALFORMED", token({"crit": []})),
    ("an unknown header member", "MALFORMED", token({"x": 1})),
    ("a `jwk` in the header", "MALFORMED", token({"jwk": {"kty": "oct", "k": "AAAA"}})),
    ("`typ` is `JWT`", "MALFORMED", token({"typ": "JWT"})),
    ("no `typ`", "MALFORMED", token(without(header, "typ"))),
    ("no `kid`, and one key in the set", "MALFORMED", token(without(header, "kid"))),
    ("unknown `kid`", "UNKNOWN_KEY", token({"kid": "A" * 43})),
    ("`alg` is not the key's own, the signature is by `alg`", "UNSUPPORTED_ALGORITHM", token({"alg": "RS256"}, pkcs1=True)),
    ("`alg` is not the key's own, the signature is by the key's", "UNSUPPORTED_ALGORITHM", token({"alg": "RS256"})),
    ("a PSS salt of 20 bytes", "BAD_SIGNATURE", token(salt=20)),
    ("`alg` twice", "MALFORMED", token(twice(header, "alg", "none"))),
    ("no `exp`", "MALFORMED", token(body=without(claims, "exp"))),
    ("`exp` is a string", "MALFORMED", token(body={"exp": str(claims["exp"])})),
    ("`exp` has a fraction", "MALFORMED", token(body={"exp": claims["exp"] + 0.5})),
    ("`exp` is `null`", "MALFORMED", token(body={"exp": None})),
    ("`exp` is 1e400", "MALFORMED", token(body=dump({**claims, "exp": "@"}).replace('"@"', "1e400"))),
    ("`exp` twice, first in the past", "MALFORMED", token(body=twice(claims, "exp", 1))),
    ("`iat` is a day ahead", "NOT_YET_VALID", token(body={"iat": claims["iat"] + 86_400})),
    ("no `nbf`", "MALFORMED", token(body=without(claims, "nbf"))),
    ("`nbf` is a string", "MALFORMED", token(body={"nbf": str(claims["nbf"])})),
    ("`aud` is an array with ours in it", "MALFORMED", token(body={"aud": ["other", claims["aud"]]})),
    ("no `aud`", "MALFORMED", token(body=without(claims, "aud"))),
    ("no `iss`", "MALFORMED", token(body=without(claims, "iss"))),
    ("`iss` is an array with ours in it", "MALFORMED", token(body={"iss": ["other", claims["iss"]]})),
    ("`sub` is a number", "MALFORMED", token(body={"sub": 7})),
    ("`token_type` twice, first `REVERSE`", "MALFORMED", token(body=twice(claims, "token_type", "REVERSE"))),
    ("an unknown claim", "MALFORMED", token(body={"admin": True})),
    ("another `schema`", "UNSUPPORTED_SCHEMA", token(body={"schema": 2})),
    ("`REVERSE` of a project that is not reversible", "CONTRADICTORY", token(body={
        "token_type": "REVERSE", "project": {**without_end, "method": "NOT_REVERSIBLE"}})
        if (without_end := {k: v for k, v in claims["project"].items() if k != "retention_end"}) else ""),
    ("it lives longer than its type may", "LIFETIME_TOO_LONG", token(body={"exp": claims["exp"] + 86_400})),
    ("bound to a certificate (`cnf`), which nobody showed", "WRONG_HOLDER", token(body={"cnf": {"x5t#S256": "A" * 43}})),
    ("5,000 bytes", "MALFORMED", token(body={"x": "x" * 5_000})),
    ("claims with something behind the object", "MALFORMED", token(body=dump(claims) + "x")),
    ("claims with a byte order mark", "MALFORMED", token(body="\ufeff" + dump(claims))),
    ("claims with padding, signed so", "MALFORMED",
     token(body=rest, spell=lambda head, body: (head, body + "=" * (-len(body) % 4)))),
    ("claims with unused bits set, signed so", "MALFORMED",
     token(body=rest, spell=lambda head, body: (head, open_ended(body)))),
    ("a line feed within the claims, signed so", "MALFORMED", token(spell=lambda head, body: (head, body[:8] + "\n" + body[8:]))),
    ("padding behind the signature", "MALFORMED", good + "===="),
    ("a line feed behind the token", "MALFORMED", good + "\n"),
    ("a character of no alphabet in the signature", "MALFORMED", good[:-8] + "!" + good[-8:]),
    ("a signature in the other base64 alphabet", "MALFORMED", ".".join(
        [*good.split(".")[:2], good.split(".")[2].translate(swap)])),
    ("a fourth part", "MALFORMED", good + ".e30"),
    ("no signature, `alg` is `none`", "UNSUPPORTED_ALGORITHM", token({"alg": "none"}).rpartition(".")[0] + ".AAAA"),
    ("expired", "EXPIRED", token(body={"iat": 1_000, "nbf": 1_000, "exp": 2_000})),
    ("another audience", "WRONG_AUDIENCE", token(body={"aud": "other"})),
    ("changed behind the signature's back", "BAD_SIGNATURE", ".".join(
        [good.split(".")[0], encode(dump({**claims, "token_type": "REVERSE"}).encode()), good.split(".")[2]])),
]

jwks = json.loads((folder / first["jwks"]).read_text())
rows = [{"what": what, "verdict": verdict, "token": text, "jwks": first["jwks"]} for what, verdict, text in CASES]
(folder / "deviant.json").write_text(json.dumps(rows))
(folder / "deviant.how.json").write_text(json.dumps({"iss": first["iss"], "aud": first["aud"], "needed": NEEDED}))


def pyjwt(text, strict):
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}
    options = {"require": NEEDED, "strict_aud": True} if strict else {}
    kid = jwt.get_unverified_header(text).get("kid")
    jwt.decode(text, keys[kid], algorithms=ALGORITHMS, issuer=first["iss"], audience=first["aud"], options=options)


def joserfc_(text, strict):
    found = joserfc_decode(text, KeySet.import_key_set(jwks), algorithms=ALGORITHMS)
    given = {"iss": first["iss"], "aud": first["aud"]}
    wanted = {name: {"essential": True, "value": value} for name, value in given.items()}
    if strict:
        wanted |= {name: {"essential": True} for name in NEEDED if name not in given}
    JWTClaimsRegistry(**wanted).validate(found.claims)


def takes(judge, text, strict, refusals):
    try:
        judge(text, strict)
    except refusals:
        return False
    return True


warnings.simplefilter("error")
# What a library throws besides its own errors is no acceptance either. That the first case is taken shows that this is no
# mistake of ours.
for name, judge, refusals in (
    ("pyjwt", pyjwt, (jwt.PyJWTError, KeyError, OverflowError, TypeError, ValueError)),
    ("joserfc", joserfc_, (joserfc.errors.JoseError, ValueError)),
):
    taken = [[takes(judge, row["token"], strict, refusals) for strict in (False, True)] for row in rows]
    (folder / f"deviant.{name}.json").write_text(json.dumps(taken))
