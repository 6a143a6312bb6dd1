// jose judges the tokens of deviant.py, as its first example does and with all that it can be told to check.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, tools] = process.argv.slice(2);
const jose = await import(join(tools, "node_modules/jose/dist/webapi/index.js"));
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const rows = read("deviant.json");
const { iss, aud, needed } = read("deviant.how.json");
const plain = { algorithms: ["PS256", "RS256"], issuer: iss, audience: aud };
const strict = { ...plain, typ: "ipms-token+jwt", requiredClaims: needed };

async function takes({ token, jwks }, options) {
  try {
    await jose.jwtVerify(token, jose.createLocalJWKSet(read(jwks)), options);
    return true;
  } catch (error) {
    // A mistake of this script is no refusal.
    if (error instanceof jose.errors.JOSEError || error instanceof TypeError) return false;
    throw error;
  }
}

const taken = [];
for (const row of rows) taken.push([await takes(row, plain), await takes(row, strict)]);
writeFileSync(join(folder, "deviant.jose.json"), JSON.stringify(taken));
