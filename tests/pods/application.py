#!/usr/bin/env python3
"""An application behind Envoy: it checks no token, it reads what the headers say, as docs/PROXIES.md tells. Anything that should never get
here (a token, a call without a decision) is 500, and so a failure of whoever asked."""

import http.server
import json
import os
import signal


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        decided = self.headers.get("x-ipms-token-type") == "PSEUDONYMISATION" and self.headers.get("x-ipms-project-id") == "p"
        right = decided and "authorization" not in self.headers
        body = json.dumps({"project": self.headers.get("x-ipms-project-id")}).encode()
        self.send_response(200 if right else 500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The requests are the user's business."""


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Handler).serve_forever()
