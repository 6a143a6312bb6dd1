#!/usr/bin/env python3
"""A user's requests, without a pause: `load.py FOLDER` asks the addresses in FOLDER/endpoints, re-read before each request, with the
token in FOLDER/token, and writes counts to FOLDER/counts. Anything but 200 is a failure and is written down."""

import json
import os
import pathlib
import sys
import threading
import time
import urllib.request

folder = pathlib.Path(sys.argv[1])
token = (folder / "token").read_text(encoding="utf-8")
lock = threading.Lock()
counts = {"ok": 0, "failed": [], "seen": {}}


def ask(thread):
    turn = thread
    while True:
        generation, *addresses = (folder / "endpoints").read_text(encoding="utf-8").split()
        turn += 1
        request = urllib.request.Request(
            f"http://{addresses[turn % len(addresses)]}:8080/api/request-psn", data=b'{"data":["Zara Quick"]}',
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        failure = None
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
        except OSError as error:
            failure = f"{time.strftime('%T')} {request.full_url}: {error}"
        with lock:
            counts["seen"][thread] = int(generation)
            if failure:
                counts["failed"].append(failure)
            else:
                counts["ok"] += 1
            written = folder / "counts.new"
            written.write_text(json.dumps(counts), encoding="utf-8")
            os.replace(written, folder / "counts")
        time.sleep(0.005)


for number in (1, 2):
    threading.Thread(target=ask, args=(number,), daemon=True).start()
sys.stdin.read()
