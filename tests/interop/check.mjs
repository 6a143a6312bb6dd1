// jose: takes what our issuer made, refuses what was tampered with, and makes tokens for us to judge.
import { createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, vectors, tools] = process.argv.slice(2);
const jose = await import(join(tools, "node_modules/jose/dist/webapi/index.js"));
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const algorithms = ["PS256", "RS256"];

const verify = async (token, jwks, options) =>
  (await jose.jwtVerify(token, jose.createLocalJWKSet(jwks), { algorithms, typ: "ipms-token+jwt", ...options })).payload;

async function refused(what, token, jwks, options) {
  try {
    await verify(token, jwks, options);
  } catch (error) {
    // A mistake of this script is no refusal.
    if (error instanceof jose.errors.JOSEError || error instanceof TypeError) return;
    throw error;
  }
  throw new Error(`jose accepted: ${what}`);
}

function flip(token, part) {
  const parts = token.split(".");
  const raw = Buffer.from(parts[part], "base64url");
  raw[20] ^= 1;
  parts[part] = raw.toString("base64url");
  return parts.join(".");
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const [pem] = readdirSync(join(folder, "keys")).filter((name) => name.startsWith("token-"));
const key = createPrivateKey(readFileSync(join(folder, "keys", pem)));
const ours = read(join(folder, "ours.json"));
const made = [];
for (const one of ours) {
  const jwks = read(join(folder, one.jwks));
  const expected = { issuer: one.iss, audience: one.aud };
  const claims = await verify(one.token, jwks, expected);
  for (const part of [1, 2]) await refused(`part ${part} changed`, flip(one.token, part), jwks, expected);
  await refused("another audience", one.token, jwks, { ...expected, audience: "other" });
  await refused("another issuer", one.token, jwks, { ...expected, issuer: "other" });
  await refused("another typ", one.token, jwks, { ...expected, typ: "JWT" });
  await refused("too late", one.token, jwks, { ...expected, currentDate: new Date(claims.exp * 1000) });
  const header = jose.decodeProtectedHeader(one.token);
  const other = algorithms.find((alg) => alg !== one.alg);
  await refused("another algorithm", one.token, jwks, { ...expected, algorithms: [other] });

  const row = (what, verdict, token) => made.push({ what, verdict, token, jwks: one.jwks });
  const sign = (payload, changed = {}) => new jose.SignJWT(payload).setProtectedHeader({ ...header, ...changed }).sign(key);
  const mine = { ...claims, jti: randomBytes(16).toString("base64url") };
  const good = await sign(mine);
  if (!same(await verify(good, jwks, expected), mine)) throw new Error("jose reads its own token otherwise");
  row("made by jose", "ACCEPTED", good);
  for (const part of [1, 2]) {
    await refused(`own, part ${part} changed`, flip(good, part), jwks, expected);
    row(`part ${part} changed`, "BAD_SIGNATURE", flip(good, part));
  }
  row("another typ", "MALFORMED", await sign(mine, { typ: "JWT" }));
  row("a header member more", "MALFORMED", await sign(mine, { cty: "x" }));
  row("a claim more", "MALFORMED", await sign({ ...mine, admin: true }));
  row("audience as an array", "MALFORMED", await sign({ ...mine, aud: [one.aud] }));
  row("the other algorithm", "UNSUPPORTED_ALGORITHM", await sign(mine, { alg: other }));
  row("another hash", "UNSUPPORTED_ALGORITHM", await sign(mine, { alg: "RS512" }));
  row("no signature", "MALFORMED", new jose.UnsecuredJWT(mine).encode());
  row("an unknown key", "UNKNOWN_KEY", await sign(mine, { kid: "A".repeat(43) }));
  row("expired", "EXPIRED", await sign({ ...mine, iat: 1000, nbf: 1000, exp: 2000 }));
  row("another issuer", "WRONG_ISSUER", await sign({ ...mine, iss: "other" }));
}
writeFileSync(join(folder, "jose.json"), JSON.stringify(made));

// Our own vectors, as far as a general library judges, at the vectors' own time and typ.
const alike = ["BAD_SIGNATURE", "UNKNOWN_KEY", "UNSUPPORTED_ALGORITHM", "WRONG_ISSUER", "WRONG_AUDIENCE", "EXPIRED"];
let judged = 0;
for (const name of readdirSync(vectors).filter((name) => name.endsWith(".json")).sort()) {
  const vector = read(join(vectors, name));
  const { issuer, audience } = vector;
  const options = { issuer, audience, currentDate: new Date(vector.now * 1000), clockTolerance: 0 };
  const jwks = { keys: vector.keys };
  // One leeway for all of exp, nbf and iat is not ours.
  if (name.startsWith("007_")) options.clockTolerance = vector.leeway_seconds;
  if (vector.verdict === "ACCEPTED") await verify(vector.token, jwks, options);
  else if (alike.includes(vector.verdict)) await refused(name, vector.token, jwks, options);
  else continue;
  judged += 1;
}
if (judged <= 20) throw new Error(`${judged} vectors`);
console.log(`jose: ${ours.length} of ours taken, ${made.length} made, ${judged} vectors judged alike`);
