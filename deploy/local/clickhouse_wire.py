"""What ClickHouse's HTTP interface means by a request: URL, form and body made into a statement.

Pure functions, but for `body_chunks`, which reads the socket. Not here: the server and the engine.
"""

import re
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl

CHUNK_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 16
INSERT_HEAD_BYTES_MAX = 1 << 16
DEFAULT_FORMAT = "TabSeparated"

# Names in the URL that are not settings. Roles, quotas and users do not exist here: accepted and unused.
NOT_SETTINGS = {
    "query", "database", "default_format", "query_id", "user", "password", "quota_key", "role",
    "stacktrace", "buffer_size", "wait_end_of_query", "client_protocol_version", "compress", "decompress",
    "session_id", "session_timeout", "session_check", "close_session",
}
NOT_SUPPORTED = {"compress", "decompress", "session_id"}

COMMENT = r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*"
INSERT = re.compile(COMMENT + r"INSERT\s+INTO\b", re.I | re.S)
ENDS_IN_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.I)
ENDS_IN_VALUES = re.compile(r"\s+VALUES\s*$", re.I)
# An INSERT whose data follows in the same body: no quotes, SELECT or VALUES before FORMAT.
INSERT_WITH_DATA = re.compile(
    rb"(?P<head>\s*INSERT\s+INTO\s(?:(?!\bSELECT\b|\bVALUES\b)[^'\"])*?)\s+FORMAT\s+(?P<format>\w+)(?:[ \t]*\r?\n|[ ;]|$)", re.I)

# Errors that ClickHouse answers with another status than 500.
STATUS_BY_CODE = {
    **dict.fromkeys((6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427,
                     441, 675, 676), 400),
    194: 401,
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    159: 408, 381: 411, 229: 413, 48: 501, 76: 503, 209: 503, 439: 503,
}


class BrokenBody(Exception):
    """The client went away, or framed its body wrongly: nothing of it may be kept."""


@dataclass
class Request:
    statement: str = ""
    database: str = ""
    format: str = DEFAULT_FORMAT
    settings: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)
    unsupported: str = ""

    def take(self, name, value):
        """One pair of the URL or of a form."""
        if name == "query":
            self.statement = f"{self.statement}\n{value}" if self.statement else value
        elif name == "database":
            self.database = value
        elif name == "default_format":
            self.format = value or DEFAULT_FORMAT
        elif name.startswith("param_"):
            self.params[name[len("param_"):]] = value
        elif name in NOT_SUPPORTED and value not in ("", "0", "false"):
            self.unsupported = name
        elif name not in NOT_SETTINGS:
            self.settings[name] = value


def parse_url(query_string, headers):
    request = Request()
    request.database = headers.get("X-ClickHouse-Database", "")
    request.format = headers.get("X-ClickHouse-Format", DEFAULT_FORMAT)
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        request.take(name, value)
    return request


def boundary_of(content_type):
    """The boundary of multipart/form-data, or None for any other content."""
    message = Message()
    message["content-type"] = content_type or ""
    if message.get_content_type() != "multipart/form-data":
        return None
    return message.get_boundary()


def form_fields(body, boundary):
    """(name, bytes) of each part that has a name."""
    delimiter = b"\r\n--" + boundary.encode()
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            return
        head, _, value = part.partition(b"\r\n\r\n")
        message = Message()
        for line in head.decode().split("\r\n"):
            name, _, text = line.partition(":")
            if name.strip().lower() == "content-disposition":
                message["content-disposition"] = text.strip()
        name = message.get_param("name", header="content-disposition")
        if name:
            yield name, value


def split_insert(statement):
    """(INSERT without its FORMAT, format) when its data comes apart; (statement, None) for any other statement."""
    if not INSERT.match(statement):
        return statement, None
    found = ENDS_IN_FORMAT.search(statement)
    if found:
        return statement[:found.start()], found.group(1)
    found = ENDS_IN_VALUES.search(statement)
    if found:
        return statement[:found.start()], "Values"
    return statement, None


def split_insert_body(body):
    """(INSERT, format, data) of a body that carries all three, else None."""
    found = INSERT_WITH_DATA.match(body[:INSERT_HEAD_BYTES_MAX])
    if not found or found.end() >= len(body):
        return None
    return found["head"].decode(), found["format"].decode(), memoryview(body)[found.end():]


def asked_format(request):
    found = ENDS_IN_FORMAT.search(request.statement)
    return found.group(1) if found else request.format


def content_type(name):
    if name.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if name.startswith("CSV"):
        return "text/csv; charset=UTF-8; header=" + ("present" if "WithNames" in name else "absent")
    if name.startswith(("TabSeparated", "TSV")):
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith(("RowBinary", "Native", "Arrow", "Parquet")):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


def body_chunks(headers, socket_file):
    """The body as it arrives, in pieces of at most CHUNK_BYTES. Raises BrokenBody when it ends too early."""
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        yield from _chunked(socket_file)
    else:
        yield from _exactly(socket_file, _number(headers.get("Content-Length", "0"), 10))


def _chunked(socket_file):
    while True:
        size = _number(_line(socket_file).split(b";")[0].decode("latin-1"), 16)
        if size == 0:
            break
        yield from _exactly(socket_file, size)
        if _line(socket_file) != b"":
            raise BrokenBody("a chunk is longer than it said")
    while _line(socket_file) != b"":
        pass  # trailers


def _exactly(socket_file, size):
    while size > 0:
        piece = socket_file.read(min(size, CHUNK_BYTES))
        if not piece:
            raise BrokenBody("the body ended too early")
        size -= len(piece)
        yield piece


def _line(socket_file):
    line = socket_file.readline(LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        raise BrokenBody("the body ended too early")
    return line.rstrip(b"\r\n")


def _number(text, base):
    try:
        number = int(text.strip(), base)
    except ValueError:
        raise BrokenBody(f"not a length: {text!r}") from None
    if number < 0:
        raise BrokenBody(f"not a length: {text!r}")
    return number
