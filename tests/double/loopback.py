"""An HTTP server on loopback whose clients may die in mid-answer, and be cut off by it."""

import socket
import struct
import sys
import threading
from http.server import ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler, **attributes):
        super().__init__(("127.0.0.1", 0), type("Handler", (handler,), attributes))
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def stop(self):
        self.shutdown()
        self.server_close()


class LoopbackService:
    """What stands behind such a server: start() and stop(), or a context manager."""

    server = port = None

    def listen(self, handler, **attributes):
        self.server = LoopbackServer(handler, **attributes)
        self.port = self.server.port
        return self

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


def break_off(handler):
    """Ends a handler's connection with a reset, and not cleanly."""
    try:
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
    except OSError:  # the client was faster
        pass
    handler.close_connection = True
    handler.connection.close()
