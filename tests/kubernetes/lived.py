#!/usr/bin/env python3
"""Gives an issuer a life: `lived.py BINARIES FOLDER` starts a pair on FOLDER's files, goes a round trip, and stops both."""

import os
import pathlib
import socket
import subprocess
import sys
import time


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main():
    binaries, folder = pathlib.Path(sys.argv[1]), sys.argv[2]
    ports = {name: free() for name in ("issuer", "issuer admin", "verifier", "verifier admin")}
    address = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    settings = {
        "issuer": {"ISSUER_GRPC__LISTEN": address["issuer"], "ISSUER_ADMIN__LISTEN": address["issuer admin"]},
        "verifier": {
            "VERIFIER_GRPC__LISTEN": address["verifier"], "VERIFIER_ADMIN__LISTEN": address["verifier admin"],
            "VERIFIER_ISSUER__ENDPOINTS": f"http://{address['issuer']}",
        },
    }
    processes = []
    try:
        for program, environment in settings.items():
            environment |= {f"{program.upper()}_GRPC__INSECURE_LOOPBACK": "true"}
            processes.append(subprocess.Popen([binaries / program], cwd=folder, env=environment, stderr=subprocess.DEVNULL))
            until(lambda: subprocess.run([binaries / program, "healthcheck"], cwd=folder, env=environment,
                                         capture_output=True, check=False).returncode == 0)
        subprocess.run([binaries / "issuer", "doctor", "--issuer", f"http://{address['issuer']}", "--round-trip",
                        f"http://{address['verifier']}"], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def until(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    sys.exit("a program does not start")


main()
