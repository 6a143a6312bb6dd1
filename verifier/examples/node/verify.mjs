// Asks a verifier whether a token may be used. The token comes on standard input, so that no process list shows it.
//
//     node verify.mjs unix:/run/ipms/verifier.sock REVERSE <token
//
// Ends with 0 and what the token authorises, 1 when it is refused, 75 (try again) when nobody can tell. Reads proto/.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
const [target, kind] = process.argv.slice(2);
const protos = fileURLToPath(new URL("../../../proto", import.meta.url));
const definition = loader.loadSync("ipms/token/v1/verifier.proto",
  { includeDirs: [protos], keepCase: true, enums: String, longs: String, oneofs: true });
const { VerifierService } = grpc.loadPackageDefinition(definition).ipms.token.v1;
// One retry on UNAVAILABLE, which is also what a verifier answers that cannot know; never without a deadline.
const retryPolicy = { maxAttempts: 2, initialBackoff: "0.1s", maxBackoff: "1s", backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE"] };
const client = new VerifierService(target, grpc.credentials.createInsecure(),
  { "grpc.service_config": JSON.stringify({ methodConfig: [{ name: [{}], retryPolicy }] }) });
const request = { token: readFileSync(0, "utf8").trim(), accepted_types: ["TOKEN_TYPE_" + kind] };
client.VerifyToken(request, { deadline: Date.now() + 2000 }, (error, answer) => {
  if (error) {
    console.error("undecided", grpc.status[error.code]);
    process.exitCode = 75;
  } else if (answer.verdict !== "accepted") { // Whatever is not accepted is refused.
    console.error("refused", answer.refused?.reason);
    process.exitCode = 1;
  } else console.log(JSON.stringify(answer.accepted, null, 2));
  client.close();
});
