// Custom resources against the operators' own schemas, which kubernetes-validate does not have. One JSON object a line.
import fs from "node:fs";
import { Certificate } from "@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate";
import { Issuer } from "@kubernetes-models/cert-manager/cert-manager.io/v1/Issuer";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { Certificate, Issuer, ServiceMonitor };
const lines = fs.readFileSync(process.argv[2], "utf8").trim().split("\n");
for (const line of lines) {
  const resource = JSON.parse(line);
  new kinds[resource.kind](resource).validate();
}
// A check that cannot fail proves nothing.
for (const broken of [{ kind: "Certificate", spec: {} }, { kind: "ServiceMonitor", spec: { endpoints: [{ port: 1 }] } }]) {
  let found = false;
  try { new kinds[broken.kind](broken).validate(); } catch { found = true; }
  if (!found) throw new Error(`a broken ${broken.kind} was taken`);
}
console.error(`  ${lines.length} custom resources are good`);
