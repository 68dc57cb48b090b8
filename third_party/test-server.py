#!/usr/bin/env python3
"""A download server that behaves well or badly, for test-setup.sh: test-server.py FOLDER LOG PORT-FILE.

GET /MODE/NAME sends FOLDER/NAME; every request is a line in LOG: "MODE NAME RANGE STATUS". The modes:
    good      honours Range
    norange   has never heard of Range: always the whole file
    broken    like good, but a request from the start gets half of the file and a closed connection
    slow      like good, with a pause of three seconds in the middle
    missing   404
"""

import http.server
import pathlib
import sys
import time

folder, log, port_file = map(pathlib.Path, sys.argv[1:])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mode, name = self.path.partition("?")[0].strip("/").split("/")
        data = (folder / name).read_bytes()
        wanted = self.headers.get("Range", "-")
        start, status = 0, 200
        if mode == "missing":
            data, status = b"no such file\n", 404
        elif wanted != "-" and mode != "norange":
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(data):
                status = 416
        with log.open("a") as lines:
            lines.write(f"{mode} {name} {wanted} {status}\n")
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(data)}")
            data = b""
        data = data[start:] if status == 206 else data
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        try:
            self.wfile.write(data[:half])
            if mode == "broken" and status == 200:
                return
            if mode == "slow":
                time.sleep(3)
            self.wfile.write(data[half:])
        except ConnectionError:
            pass  # the client was killed, which is what some tests are about

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
port_file.with_suffix(".new").write_text(str(server.server_port))
port_file.with_suffix(".new").rename(port_file)
server.serve_forever()
