"""Asks a verifier whether a token may be used. The token comes on standard input, so that no process list shows it.

    python verify.py unix:/run/ipms/verifier.sock REVERSE <token

Ends with 0 and what the token authorises, 1 when it is refused, 75 (try again) when nobody can tell. Generate the code:

    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/ipms/token/v1/*.proto
"""
import sys

import grpc
from google.protobuf.json_format import MessageToJson
from ipms.token.v1 import token_pb2, verifier_pb2, verifier_pb2_grpc

target, kind = sys.argv[1:]
request = verifier_pb2.VerifyTokenRequest(
    token=sys.stdin.read().strip(), accepted_types=[token_pb2.TokenType.Value("TOKEN_TYPE_" + kind)])
# One retry on UNAVAILABLE, which is also what a verifier answers that cannot know; never without a deadline.
policy = '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.1s", ' \
    '"maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}'
# A socket's path is no host name; servers want one that is.
options = [("grpc.service_config", policy), ("grpc.default_authority", "localhost")]
with grpc.insecure_channel(target, options) as channel:
    try:
        answer = verifier_pb2_grpc.VerifierServiceStub(channel).VerifyToken(request, timeout=2)
    except grpc.RpcError as error:
        sys.exit(print("undecided", error.code().name, file=sys.stderr) or 75)
if answer.WhichOneof("verdict") != "accepted":  # Whatever is not accepted is refused.
    sys.exit(print("refused", verifier_pb2.RefusalReason.Name(answer.refused.reason), file=sys.stderr) or 1)
print(MessageToJson(answer.accepted, preserving_proto_field_name=True))
