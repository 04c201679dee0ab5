"""A web proxy that knows where every host name of the tests is: at one server.

	with Proxy("http://127.0.0.1:9000") as proxy:
	    variables["http_proxy"] = proxy.url
"""

import http.client
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from loopback import LoopbackServer

HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "expect"}


class Proxy:
    def __init__(self, server):
        self.to = urlsplit(server).netloc
        self.seen = []  # (host, method)

    def __enter__(self):
        self.server = LoopbackServer(Handler, proxy=self)
        self.url = f"http://127.0.0.1:{self.server.port}"
        return self

    def __exit__(self, *_):
        self.server.stop()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy = None

    def log_message(self, *_):
        pass

    def forward(self):
        asked = urlsplit(self.path)
        self.proxy.seen.append((asked.netloc, self.command))
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = http.client.HTTPConnection(self.proxy.to, timeout=30)
        server.putrequest(self.command, self.path[self.path.index("/", 7):],
                          skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                server.putheader(name, value)
        server.endheaders(body or None)
        answer = server.getresponse()
        data = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        server.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward
