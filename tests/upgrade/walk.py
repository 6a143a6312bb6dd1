#!/usr/bin/env python3
"""`walk.py OLD NEW BUF`: an issuer and a verifier go from the programs in OLD to those in NEW one after the other, in both orders, and
back. After each step, tokens and revocations of every step before are judged as they were, and new ones are made. What counts as a
failure: another verdict than before, an end that is not a success, or a start over the other's files that does not serve."""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

OWNER = "0b9cd5e4-3c1f-4a57-9d0e-6f2a8b1c7d30"
KIND = "TOKEN_TYPE_PSEUDONYMISATION"


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


class Site:
    """One issuer and one verifier in a folder that outlives both."""

    def __init__(self, folder, buf):
        self.folder, self.buf, self.running, self.tokens = folder, buf, {}, {}
        self.address = {name: free() for name in ("issuer", "issuer admin", "verifier", "verifier admin")}
        self.settings = {
            "issuer": {"ISSUER_GRPC__LISTEN": self.address["issuer"], "ISSUER_ADMIN__LISTEN": self.address["issuer admin"],
                       "ISSUER_GRPC__INSECURE_LOOPBACK": "true"},
            "verifier": {"VERIFIER_GRPC__LISTEN": self.address["verifier"], "VERIFIER_ADMIN__LISTEN": self.address["verifier admin"],
                         "VERIFIER_GRPC__INSECURE_LOOPBACK": "true", "VERIFIER_FOLLOWER__ID": "walk", "VERIFIER_SNAPSHOT__PATH": "view",
                         "VERIFIER_ISSUER__ENDPOINTS": f"http://{self.address['issuer']}"},
        }

    def call(self, program, method, message):
        words = [self.buf, "curl", "--schema", "proto", "--protocol", "grpc", "--http2-prior-knowledge", "-d", json.dumps(message),
                 f"http://{self.address[program]}/ipms.token.v1.{method}"]
        told = subprocess.run(words, capture_output=True, text=True, check=False)
        return json.loads(told.stdout) if told.returncode == 0 else None

    def must(self, *asked):
        answer = self.call(*asked)
        if answer is None:
            sys.exit(f"{asked[1]} failed")
        return answer

    def change(self, program, programs):
        """The program of that folder takes over the files of the one that runs."""
        if process := self.running.pop(program, None):
            process.terminate()
            if process.wait(30) != 0:
                sys.exit(f"the {program} did not end well")
        with open(self.folder / f"{program}.log", "ab") as log:
            self.running[program] = subprocess.Popen([programs / program], cwd=self.folder, env=self.settings[program], stderr=log)
        method = {"issuer": "ProjectService/ListProjects", "verifier": "VerifierService/GetTrustView"}[program]

        def serves():
            if self.running[program].poll() is not None:
                sys.exit(f"the {program} does not start: {(self.folder / f'{program}.log').read_text(encoding='utf-8')[-800:]}")
            return self.call(program, method, {"organisation_id": OWNER} if program == "issuer" else {}) is not None
        until(f"the {program} serves", serves)

    def issue(self, name):
        self.tokens[name] = self.must("issuer", "IssuerService/IssueToken", {
            "project_id": "p", "organisation_id": OWNER, "token_type": KIND,
            "approval": {"request_id": "r", "requested_by": "u", "automatic": {}, "purpose": "tests"}}) | {"live": True}

    def revoke(self, name):
        self.tokens[name]["live"] = False
        return self.must("issuer", "RevocationService/Revoke", {
            "token_ids": {"token_ids": [self.tokens[name]["record"]["tokenId"]]}, "reason": "REVOCATION_REASON_TOKEN_LEAKED"})["cursor"]

    def judge(self, step):
        """Every token so far, as it must be."""
        for name, token in self.tokens.items():
            def right(token=token):
                verdict = self.call("verifier", "VerifierService/VerifyToken", {"token": token["token"], "accepted_types": [KIND]}) or {}
                if token["live"]:
                    return "accepted" in verdict
                return verdict.get("refused", {}).get("reason") == "REFUSAL_REASON_REVOKED"
            until(f"{step}: {name} is {'accepted' if token['live'] else 'refused'}", right)

    def go_on(self, step):
        self.judge(step)
        self.issue(f"{step} one")
        self.issue(f"{step} two")
        self.revoke(f"{step} two")
        self.judge(step)


def until(what, holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def main():
    old, new, buf = (pathlib.Path(one).resolve() for one in sys.argv[1:4])
    for first, second in (("issuer", "verifier"), ("verifier", "issuer")):
        with tempfile.TemporaryDirectory() as name:
            site = Site(pathlib.Path(name), str(buf))
            try:
                subprocess.run([old / "issuer", "keys", "generate"], cwd=name, env=site.settings["issuer"], check=True, capture_output=True)
                site.change("issuer", old)
                site.change("verifier", old)
                site.must("issuer", "ProjectService/CreateProject", {
                    "project_id": "p", "owner_organisation_id": OWNER, "configuration": {
                        "not_reversible": {}, "treatment": "TREATMENT_ALWAYS_SAME", "output_format": {"alphabet": "ALPHABET_UUID", "length": 36}}})
                site.go_on("old")
                for program, programs, step in ((first, new, "half way"), (second, new, "new"), (second, old, "half back"), (first, old, "back")):
                    site.change(program, programs)
                    site.go_on(step)
                print(f"  {first} first: {len(site.tokens)} tokens judged alike through 5 mixes of versions")
            finally:
                for process in site.running.values():
                    process.kill()
                    process.wait()


main()
