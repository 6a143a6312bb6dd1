"""Makes a project and tokens of it for tests/clients/run: `issue.py ISSUER FOLDER` leaves a file for each token."""
import pathlib
import sys

import grpc
from google.protobuf.duration_pb2 import Duration
from ipms.token.v1 import (
    issuer_pb2, issuer_pb2_grpc, project_pb2, project_pb2_grpc, revocation_pb2, revocation_pb2_grpc, token_pb2,
)

OWNER = "0b9cd5e4-3c1f-4a57-9d0e-6f2a8b1c7d30"
issuer, folder = sys.argv[1], pathlib.Path(sys.argv[2])

with grpc.insecure_channel(issuer) as channel:
    project_pb2_grpc.ProjectServiceStub(channel).CreateProject(project_pb2.CreateProjectRequest(
        project_id="clients", owner_organisation_id=OWNER, configuration=project_pb2.ProjectConfiguration(
            reversible=project_pb2.Reversible(retention=project_pb2.Retention(years=1)),
            treatment="TREATMENT_ALWAYS_SAME",
            output_format=project_pb2.OutputFormat(alphabet="ALPHABET_UUID", length=36))), timeout=10)

    def issue(kind):
        approval = issuer_pb2.Approval(request_id="request-1", requested_by="asker", approved_by="board", purpose="tests")
        return issuer_pb2_grpc.IssuerServiceStub(channel).IssueToken(issuer_pb2.IssueTokenRequest(
            project_id="clients", organisation_id=OWNER, token_type="TOKEN_TYPE_" + kind, approval=approval), timeout=10)

    reverse, revoked, forward = issue("REVERSE"), issue("REVERSE"), issue("PSEUDONYMISATION")
    revocations = revocation_pb2_grpc.RevocationServiceStub(channel)
    answer = revocations.Revoke(revocation_pb2.RevokeRequest(
        token_ids=revocation_pb2.TokenIds(token_ids=[revoked.record.token_id]),
        reason="REVOCATION_REASON_TOKEN_LEAKED"), timeout=10)
    seen = revocations.AwaitVisibility(revocation_pb2.AwaitVisibilityRequest(
        cursor=answer.cursor, timeout=Duration(seconds=60)), timeout=70)
    assert seen.reached, seen

head, body, signature = reverse.token.split(".")
swapped = "AB"[signature[9] == "A"]
tampered = ".".join([head, body, signature[:9] + swapped + signature[10:]])
for name, token in {"reverse": reverse.token, "revoked": revoked.token, "tampered": tampered,
                    "pseudonymisation": forward.token}.items():
    (folder / name).write_text(token)
