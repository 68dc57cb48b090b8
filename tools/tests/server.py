"""A local stand-in for the download host, with the faults a real one can have."""

import http.server
import threading


class Host:
    """Serves `body` at every path; `fault` is None, "slow", "broken", or an HTTP status. Counts the requests."""

    def __init__(self, body: bytes):
        self.body, self.fault, self.requests = body, None, 0
        self.stop = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/weights.pth"

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type:
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.requests += 1
                if host.fault == "slow":
                    host.stop.wait(10)
                    return
                if isinstance(host.fault, int):
                    self.send_error(host.fault)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(host.body)))
                self.end_headers()
                self.wfile.write(host.body[: len(host.body) // 2] if host.fault == "broken" else host.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
