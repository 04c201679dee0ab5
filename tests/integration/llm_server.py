"""A server that speaks as model servers do, and misbehaves when told to.

No model: each answer repeats the question.  For tests on loopback only.

    with LlmServer() as server:
        server.plan = lambda request: Reply(status=503) if request.count == 1 else None
        ... server.url ...

plan() is asked for each request; None stands for a good answer.  What has
happened is counted: connections, requests, how many at once, and how often
each record was asked for.  A record is told by its last message (or "input",
or "prompt").

By hand:  python3 llm_server.py [PORT]
"""

import dataclasses
import http.server
import json
import socket
import struct
import sys
import threading


@dataclasses.dataclass
class Request:
    """One request as the plan sees it."""

    path: str
    headers: dict
    body: dict
    raw: bytes
    record: str  # the question
    count: int  # how often this record has been asked for, this time included
    number: int  # of the request, from 1


@dataclasses.dataclass
class Reply:
    """What to do instead of a good answer.

    cut: send so many bytes of the body and close; reset: close without a
    word, with a RST; sent: bytes to put on the wire as they are, then close.
    """

    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: object = None  # bytes, or what becomes JSON; None: a good answer
    delay: float = 0.0
    cut: int = -1
    reset: bool = False
    sent: bytes = None


def question_of(body):
    if body.get("messages"):
        content = body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[0]["text"]
    for key in ("input", "prompt"):
        if key in body:
            return body[key] if isinstance(body[key], str) else body[key][0]
    return ""


def good_answer(path, body, question):
    """The answer in the shape the path asks for."""
    words = len(question.split())
    if path.endswith("/embeddings"):
        return {"object": "list", "model": body.get("model"),
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25, words]}],
                "usage": {"prompt_tokens": words, "total_tokens": words}}
    if path.endswith("/messages"):
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"),
                "content": [{"type": "text", "text": "answer to " + question}],
                "stop_reason": "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": words, "output_tokens": words + 2}}
    message = {"role": "assistant", "content": "answer to " + question}
    choice = {"index": 0, "finish_reason": "stop"}
    choice.update({"message": message} if path.endswith("/chat/completions")
                  else {"text": message["content"]})
    return {"id": "c1", "object": "chat.completion", "model": body.get("model"),
            "choices": [choice],
            "usage": {"prompt_tokens": words, "completion_tokens": words + 2}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # an idle connection does not outlive the tests
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.owner.connected(self.connection)

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass
        self.server.owner.disconnected(self.connection)

    def log_message(self, *args):
        pass

    def address_string(self):
        return "client"

    def do_GET(self):
        self.answer(Reply(body={"status": "ok"}), b"")

    def do_POST(self):
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = owner.begin(self.path, self.headers, raw)
        try:
            reply = owner.reply_to(request)
            if reply.delay:
                owner.stopping.wait(reply.delay)
            self.answer(reply, request)
            owner.end(request, reply)
        except OSError:
            self.close_connection = True
        finally:
            owner.leave()

    def answer(self, reply, request):
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if reply.sent is not None:
            self.wfile.write(reply.sent)
            self.close_connection = True
            return
        body = reply.body
        if body is None:
            body = good_answer(request.path, request.body, request.record)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response_only(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers.update(reply.headers)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if reply.cut < 0 else body[:reply.cut])
        if reply.cut >= 0:
            self.close_connection = True


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # a client that went away is no news here


class UnixListener(Listener):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


class UnixHandler(Handler):
    disable_nagle_algorithm = False


class LlmServer:
    """Listens at once, or, with listening=False, refuses until listen()."""

    def __init__(self, port=0, unix_path=None, listening=True):
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.plan = None
        self.connections = 0
        self.requests = 0
        self.now = 0
        self.most_at_once = 0
        self.asked = {}  # record -> requests
        self.answered = {}  # record -> good answers that went out whole
        self.open = set()
        self.seen = []  # the requests, at most 1000
        self.thread = None
        if unix_path:
            self.listener = UnixListener(unix_path, UnixHandler, bind_and_activate=False)
            self.url = "unix:" + unix_path
        else:
            self.listener = Listener(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.listener.owner = self
        self.listener.allow_reuse_address = True
        self.listener.server_bind()  # without listen(): connections are refused
        if not unix_path:
            self.url = "http://127.0.0.1:%d" % self.listener.server_address[1]
        if listening:
            self.listen()

    def listen(self):
        self.listener.server_activate()
        self.thread = threading.Thread(target=self.listener.serve_forever,
                                       kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.stopping.set()
        if self.thread:
            self.listener.shutdown()
            self.thread.join()
        self.listener.server_close()
        with self.lock:
            left = list(self.open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # What handlers report.

    def connected(self, connection):
        with self.lock:
            self.connections += 1
            self.open.add(connection)

    def disconnected(self, connection):
        with self.lock:
            self.open.discard(connection)

    def begin(self, path, headers, raw):
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        record = question_of(body)
        with self.lock:
            self.requests += 1
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            self.asked[record] = self.asked.get(record, 0) + 1
            request = Request(path.split("?")[0], {k.lower(): v for k, v in headers.items()},
                              body, raw, record, self.asked[record], self.requests)
            if len(self.seen) < 1000:
                self.seen.append(request)
        return request

    def reply_to(self, request):
        reply = self.plan(request) if self.plan else None
        return reply or Reply()

    def end(self, request, reply):
        if reply.status == 200 and reply.body is None and reply.cut < 0 and not reply.reset \
                and reply.sent is None:
            with self.lock:
                self.answered[request.record] = self.answered.get(request.record, 0) + 1

    def leave(self):
        with self.lock:
            self.now -= 1


def main():
    with LlmServer(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
