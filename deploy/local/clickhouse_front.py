"""A small ClickHouse HTTP interface over chDB, for machines without a ClickHouse server.

    python clickhouse_front.py --port 18123 --path .stack/clickhouse

chDB is the real engine (storage, SQL, formats, errors are ClickHouse's own), inside this
process; this file is only the door. It binds loopback only and checks no user or password.
Rows never pass through Python: an INSERT's body goes to the engine in the pieces in which
it arrives, an answer comes back as one block of bytes.

Measured on 2 cores, chdb-core 26.9.0, one connection, RowBinary of 8 columns (70 bytes a row) into a
partitioned ReplacingMergeTree, best of 3: 1,000 rows 6 ms, 50,000 rows 64 ms (780,000 rows/s),
200,000 rows 231 ms (860,000 rows/s). `SELECT 1` takes 2 ms. The engine's share is nearly all of it.

What it does not do, compared to a server: README.md.
"""

import argparse
import json
import os
import resource
import signal
import sys
import threading
import time
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

os.environ["TZ"] = "UTC"  # as in ClickHouse's images; read when the engine is loaded
time.tzset()

import clickhouse_wire as wire  # noqa: E402
from clickhouse_engine import Engine, EngineError  # noqa: E402

BODY_BYTES_MAX = 1 << 30  # of a body that must be held whole: a statement or a form
IDLE_SECONDS_MAX = 30
STOP_SECONDS_MAX = 15
OPEN_FILES_MIN = 65536


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tollgate-local-clickhouse"
    timeout = IDLE_SECONDS_MAX
    wbufsize = 1 << 16  # head and body leave in one packet
    disable_nagle_algorithm = True

    def do_GET(self):
        self.serve(read_only=True)

    def do_HEAD(self):
        self.serve(read_only=True)

    def do_POST(self):
        self.serve(read_only=False)

    def handle_expect_100(self):
        proceed = super().handle_expect_100()
        self.wfile.flush()  # or the client waits a second before it sends a large body
        return proceed

    def serve(self, read_only):
        url = urlsplit(self.path)
        self.chunks = self.body()
        with self.server.under_way:
            try:
                try:
                    self.route(url, read_only)
                except EngineError as error:
                    self.answer_error(error)
                except (UnicodeError, LookupError, TypeError, AttributeError) as error:  # a fault of this file
                    self.answer_error(EngineError.of(1002, "UNKNOWN_EXCEPTION", f"the local front failed: {error!r}"))
            except (wire.BrokenBody, OSError, zlib.error) as error:
                self.log_message("request dropped: %s", error)
                self.close_connection = True

    def route(self, url, read_only):
        if url.path in ("/ping", "/replicas_status"):
            self.answer_plain(200, b"Ok.\n")
        elif url.path == "/":
            self.answer_query(wire.parse_url(url.query, self.headers), read_only)
        else:
            self.answer_plain(404, f"There is no handle {url.path}\n".encode())

    def answer_query(self, request, read_only):
        self.query_id = uuid.uuid4().hex
        if request.unsupported:
            raise EngineError.of(48, "NOT_IMPLEMENTED", f"`{request.unsupported}` in the URL: the local front has neither compression of blocks nor sessions")
        if read_only and request.settings.get("readonly", "0") == "0":
            request.settings["readonly"] = "2"  # a GET changes nothing
        boundary = wire.boundary_of(self.headers.get("Content-Type"))
        if boundary:
            for name, value in wire.form_fields(self.whole_body(), boundary):
                request.take(name, text_of(value))
        statement, data_format = wire.split_insert(request.statement)
        if data_format:
            request.statement = statement
            return self.answer_insert(request, data_format, self.chunks)
        return self.answer_statement(request, b"" if boundary else self.whole_body())

    def answer_statement(self, request, body):
        insert = None if request.statement else wire.split_insert_body(body)
        if insert:
            request.statement, data_format, data = insert
            return self.answer_insert(request, data_format, [data])
        if body:
            request.take("query", text_of(body))
        if not request.statement.strip():
            if self.command == "POST":
                raise EngineError.of(62, "SYNTAX_ERROR", "Syntax error: Empty query")
            return self.answer_plain(200, b"Ok.\n")
        data, result = self.server.engine.query(request)
        summary = {"read_rows": result.storage_rows_read(), "read_bytes": result.storage_bytes_read(),
                   "written_rows": result.rows_written(), "written_bytes": result.bytes_written(),
                   "result_rows": result.rows_read(), "result_bytes": len(data),
                   "elapsed_ns": int(result.elapsed() * 1e9)}
        self.answer(200, data, wire.asked_format(request), summary)

    def answer_insert(self, request, data_format, chunks):
        written = self.server.engine.insert(request, data_format, chunks)
        summary = {"read_rows": written.rows_written, "read_bytes": written.bytes_written,
                   "written_rows": written.rows_written, "written_bytes": written.bytes_written,
                   "elapsed_ns": int(written.elapsed * 1e9)}
        self.answer(200, b"", request.format, summary)

    def answer(self, status, data, format_name, summary):
        self.send_response(status)
        self.send_header("Content-Type", wire.content_type(format_name))
        self.send_header("X-ClickHouse-Format", format_name)
        self.send_header("X-ClickHouse-Query-Id", self.query_id)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("X-ClickHouse-Summary", json.dumps({name: str(value) for name, value in summary.items()}))
        self.finish_answer(data)

    def answer_plain(self, status, data):
        self.drain()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish_answer(data)

    def answer_error(self, error):
        """The rest of the body is read first, or the client would see a broken pipe and not the answer."""
        self.drain()
        status = wire.STATUS_BY_CODE.get(error.code, 500)
        self.log_message("%d %s", status, error.text[:300].replace("\n", " "))
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Exception-Code", str(error.code))
        self.finish_answer(error.text.encode() + b"\n")

    def finish_answer(self, data):
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def body(self):
        chunks = wire.body_chunks(self.headers, self.rfile)
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding == "gzip":
            return gunzip(chunks)
        if encoding in ("", "identity"):
            return chunks
        return refuse(chunks, encoding)

    def whole_body(self):
        body = bytearray()
        for chunk in self.chunks:
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise EngineError.of(229, "QUERY_IS_TOO_LARGE", f"a body over {BODY_BYTES_MAX} bytes")
        return bytes(body)

    def drain(self):
        for _ in self.chunks:
            pass

    def log_request(self, code="-", size="-"):
        pass  # an answer that went well is not news

    def log_message(self, format, *args):
        print(time.strftime("%Y-%m-%dT%H:%M:%SZ"), format % args, flush=True)


def gunzip(chunks):
    decoder = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        yield decoder.decompress(chunk)
    yield decoder.flush()


def refuse(chunks, encoding):
    for _ in chunks:
        pass
    raise EngineError.of(89, "UNKNOWN_COMPRESSION_METHOD", f"Content-Encoding {encoding}: only gzip is there")
    yield


def text_of(body):
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise EngineError.of(62, "SYNTAX_ERROR", f"Syntax error: the statement is not UTF-8 ({error.reason})") from None


class UnderWay:
    """How many requests are under way, so that a stop can wait for them."""

    def __init__(self):
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self):
        with self._changed:
            self._count += 1

    def __exit__(self, *_):
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait_for_none(self, seconds):
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)


class Server(ThreadingHTTPServer):
    """One thread a connection."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, engine):
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = engine
        self.under_way = UnderWay()


def arguments():
    parser = argparse.ArgumentParser(description="ClickHouse's HTTP interface over chDB, on 127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True, help="the folder of the data, made when missing")
    return parser.parse_args()


def raise_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES_MIN:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES_MIN, hard), hard))


def open_server(options):
    path = os.path.abspath(options.path)
    os.makedirs(path, exist_ok=True)
    engine = Engine(path)
    try:
        return Server(options.port, engine)
    except OSError as error:
        engine.close()
        sys.exit(f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}")


def wait_for_a_signal():
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def close_server(server):
    """Lets running requests end. The engine is closed only when none is left; without that it is as
    after a kill, which loses nothing that was answered."""
    server.shutdown()
    server.server_close()
    idle = server.under_way.wait_for_none(STOP_SECONDS_MAX)
    if idle:
        server.engine.close()
    print("stopped" if idle else f"stopped with requests under way after {STOP_SECONDS_MAX} s", flush=True)


def main():
    options = arguments()
    raise_open_files()
    server = open_server(options)
    threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
    print(f"ready on 127.0.0.1:{options.port}, data in {options.path}", flush=True)
    wait_for_a_signal()
    close_server(server)
    os._exit(0)  # threads of idle connections have nothing to finish


if __name__ == "__main__":
    main()
