"""Asks the running ClickHouse front what the Rust client asks: python3 deploy/local/test_front.py

Needs `deploy/local/stack up`. Every test has a database of its own. The tests in Killed run a
second front, on another port and folder.
"""

import http.client
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).resolve().parent
STACK = Path(os.environ.get("TOLLGATE_STACK_DIR", HERE.parent.parent / ".stack"))
PORT = int(os.environ.get("CLICKHOUSE_PORT", "18123"))

COLUMNS = """ws LowCardinality(String), id String, credits Decimal(18, 6), total Decimal(38, 6),
    at DateTime64(6, 'UTC'), day Date, version UInt64"""
NAMES_AND_TYPES = [("ws", "LowCardinality(String)"), ("id", "String"), ("credits", "Decimal(18, 6)"),
                   ("total", "Decimal(38, 6)"), ("at", "DateTime64(6, 'UTC')"), ("day", "Date"), ("version", "UInt64")]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()


class Client:
    """One connection, kept alive, as the Rust client's pool has them."""

    def __init__(self, port=PORT, database=""):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.database = database

    def close(self):
        self.http.close()

    def send(self, method, url, body=None, headers=None, **options):
        self.http.request(method, url, body, headers or {}, **options)
        return Answer(self.http.getresponse())

    def url(self, **pairs):
        if self.database:
            pairs.setdefault("database", self.database)
        return "/?" + urlencode(pairs)

    def ask(self, sql, **pairs):
        """A statement in the body, as `Query` sends it."""
        return self.send("POST", self.url(**pairs), sql.encode())

    def do(self, sql, **pairs):
        answer = self.ask(sql, **pairs)
        if answer.status != 200:
            raise AssertionError(f"{answer.status} {answer.text}")
        return answer.text.rstrip("\n")

    def insert(self, sql, pieces, **pairs):
        """The statement in the URL and a chunked body, as `Insert` sends it."""
        return self.send("POST", self.url(query=sql, **pairs), iter(pieces), encode_chunked=True,
                         headers={"Transfer-Encoding": "chunked"})

    def ask_with_params(self, sql, **params):
        """A form, as `Query::param` sends it."""
        boundary = "clickhouse-rs-" + uuid.uuid4().hex
        fields = [("query", sql)] + [("param_" + name, value) for name, value in params.items()]
        form = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                       for name, value in fields) + f"--{boundary}--\r\n"
        return self.send("POST", self.url(), form.encode(),
                         {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def text(value):
    return bytes([len(value)]) + value.encode()  # lengths under 128 are one byte


def row(number, version=1):
    return (text("ws1") + text(f"event-{number:09d}") + struct.pack("<q", 1_500_000) + struct.pack("<qq", number, 0)
            + struct.pack("<q", 1_793_923_200_000_000 + number) + struct.pack("<H", 20_000) + struct.pack("<Q", version))


def rows(count, first=0, version=1):
    return [b"".join(row(number, version) for number in range(start, min(start + 5000, first + count)))
            for start in range(first, first + count, 5000)]


def header():
    return (bytes([len(NAMES_AND_TYPES)]) + b"".join(text(name) for name, _ in NAMES_AND_TYPES)
            + b"".join(text(kind) for _, kind in NAMES_AND_TYPES))


class WithDatabase(unittest.TestCase):
    def setUp(self):
        self.name = "front_" + uuid.uuid4().hex
        root = Client()
        root.do(f"CREATE DATABASE {self.name}")
        self.client = Client(database=self.name)
        self.addCleanup(root.close)
        self.addCleanup(root.do, f"DROP DATABASE {self.name}")
        self.addCleanup(self.client.close)

    def create_events(self, settings=""):
        self.client.do(f"""CREATE TABLE events ({COLUMNS}) ENGINE = ReplacingMergeTree(version)
            PARTITION BY toYYYYMM(day) ORDER BY (ws, id) {settings}""")

    def insert_events(self, pieces, **settings):
        answer = self.client.insert("INSERT INTO events FORMAT RowBinary", pieces, **settings)
        self.assertEqual((answer.status, answer.body), (200, b""), answer.text)


class Plain(WithDatabase):
    def test_ping(self):
        answer = self.client.send("GET", "/ping")
        self.assertEqual((answer.status, answer.text), (200, "Ok.\n"))

    def test_root_and_unknown_path(self):
        self.assertEqual(self.client.send("GET", "/").text, "Ok.\n")
        self.assertEqual(self.client.send("GET", "/nothing").status, 404)

    def test_get_reads_but_does_not_write(self):
        self.assertEqual(self.client.send("GET", self.client.url(query="SELECT 1 + 1")).text, "2\n")
        answer = self.client.send("GET", self.client.url(query="CREATE TABLE t (a UInt8) ENGINE = Memory"))
        self.assertEqual(answer.headers["X-ClickHouse-Exception-Code"], "164")

    def test_readonly_setting(self):
        self.create_events()
        for level in ("1", "2"):
            self.assertEqual(self.client.do("SELECT count() FROM events", readonly=level), "0")
            answer = self.client.insert("INSERT INTO events FORMAT RowBinary", [row(1)], readonly=level)
            self.assertEqual(answer.headers["X-ClickHouse-Exception-Code"], "164")
        self.insert_events([row(1)])  # nothing of it stays behind

    def test_one_connection_serves_many_requests(self):
        for number in range(50):
            self.assertEqual(self.client.do(f"SELECT {number}"), str(number))

    def test_ddl_and_views(self):
        self.create_events()
        self.client.do("CREATE VIEW spent AS SELECT ws, sum(credits) AS credits FROM events FINAL GROUP BY ws")
        self.insert_events(rows(10))
        self.assertEqual(self.client.do("SELECT * FROM spent"), "ws1\t15")
        self.client.do("ALTER TABLE events ADD COLUMN note String")
        self.client.do("DROP VIEW spent")
        self.assertEqual(self.client.do("SHOW TABLES"), "events")

    def test_types_are_reported_as_declared(self):
        self.create_events()
        answer = self.client.ask("DESCRIBE TABLE events", describe_include_subcolumns="0")
        described = [tuple(line.split("\t")[:2]) for line in answer.text.replace("\\'", "'").splitlines()]
        self.assertEqual(described, NAMES_AND_TYPES)

    def test_default_format(self):
        answer = self.client.ask("SELECT toUInt8(7) AS seven", default_format="RowBinaryWithNamesAndTypes")
        self.assertEqual(answer.body, b"\x01" + text("seven") + text("UInt8") + b"\x07")
        self.assertEqual(answer.headers["Content-Length"], str(len(answer.body)))
        self.assertEqual(self.client.do("SELECT 1 AS a FORMAT JSONEachRow", default_format="CSV"), '{"a":1}')

    def test_settings(self):
        self.assertEqual(self.client.do("SELECT getSetting('max_threads')", max_threads="1"), "1")
        self.assertEqual(self.client.do("SELECT getSetting('log_comment')", log_comment="it's \\ fine"), "it\\'s \\\\ fine")
        self.assertNotEqual(self.client.do("SELECT getSetting('log_comment')"), "it\\'s \\\\ fine")

    def test_params_in_the_url(self):
        sql = "SELECT {name:String}, {many:Array(String)}, {none:Nullable(String)}, {sum:Decimal(18, 6)}"
        answer = self.client.do(sql, param_name=r"o'neil\tx", param_many="['a','b']", param_none=r"\N", param_sum="1.5")
        self.assertEqual(answer, "o\\'neil\\tx\t['a','b']\t\\N\t1.5")

    def test_params_in_a_form(self):
        answer = self.client.ask_with_params("SELECT {a:String}, {b:Int64} + 1, currentDatabase()", a="x; --", b="41")
        self.assertEqual(answer.text, f"x; --\t42\t{self.name}\n")


class Errors(WithDatabase):
    def check(self, answer, status, code, name):
        self.assertEqual(answer.status, status, answer.text)
        self.assertEqual(answer.headers["X-ClickHouse-Exception-Code"], str(code))
        self.assertRegex(answer.text, rf"^Code: {code}\. DB::Exception: (?s:.*)\({name}\) \(version ")
        self.assertEqual(self.client.do("SELECT 1"), "1")  # the connection is still good

    def test_form_and_status(self):
        ask = self.client.ask
        self.check(ask("SELECT * FROM nothing"), 404, 60, "UNKNOWN_TABLE")
        self.check(ask("SELECT nothing"), 404, 47, "UNKNOWN_IDENTIFIER")
        self.check(ask("SELEC 1"), 400, 62, "SYNTAX_ERROR")
        self.check(ask("SELECT 1", database="nothing"), 404, 81, "UNKNOWN_DATABASE")
        self.check(ask("SELECT 1", no_such_setting="1"), 404, 115, "UNKNOWN_SETTING")
        self.check(ask("SELECT 1", default_format="Nothing"), 404, 73, "UNKNOWN_FORMAT")
        self.check(ask("SELECT {a:UInt8}"), 500, 456, "UNKNOWN_QUERY_PARAMETER")
        self.check(ask("SELECT 1; SELECT 2"), 400, 62, "SYNTAX_ERROR")
        self.check(ask("SELECT throwIf(1)"), 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")

    def test_inserts(self):
        self.create_events()
        insert = self.client.insert
        self.check(insert("INSERT INTO nothing FORMAT RowBinary", rows(20_000)), 404, 60, "UNKNOWN_TABLE")
        self.check(insert("INSERT INTO events FORMAT RowBinary", [row(1)[:-1]]), 500, 33, "CANNOT_READ_ALL_DATA")
        wrong = header().replace(text("UInt64"), text("UInt32"))
        self.check(insert("INSERT INTO events FORMAT RowBinaryWithNamesAndTypes", [wrong]), 400, 117, "INCORRECT_DATA")
        self.assertEqual(self.client.do("SELECT count() FROM events"), "0")

    def test_what_is_not_there_says_so(self):
        self.check(self.client.insert("INSERT INTO t FORMAT RowBinary", [b"x"], decompress="1"), 501, 48, "NOT_IMPLEMENTED")
        self.check(self.client.ask("SELECT 1", session_id="s"), 501, 48, "NOT_IMPLEMENTED")


class Inserts(WithDatabase):
    def test_row_binary_and_back(self):
        self.create_events()
        self.insert_events(rows(3))
        answer = self.client.ask("SELECT * FROM events ORDER BY id", default_format="RowBinary")
        self.assertEqual(answer.body, b"".join(rows(3)))
        self.assertEqual(self.client.do("SELECT * FROM events LIMIT 1"),
                         "ws1\tevent-000000000\t1.5\t0\t2026-11-06 00:00:00.000000\t2024-10-04\t1")

    def test_names_and_types(self):
        self.create_events()
        names = ", ".join(f"`{name}`" for name, _ in NAMES_AND_TYPES)
        answer = self.client.insert(f"INSERT INTO `events`({names}) FORMAT RowBinaryWithNamesAndTypes",
                                    [header()] + rows(1000), async_insert="0")
        self.assertEqual(answer.status, 200, answer.text)
        self.assertIn('"written_rows": "1000"', answer.headers["X-ClickHouse-Summary"])
        answer = self.client.ask("SELECT * FROM events LIMIT 1", default_format="RowBinaryWithNamesAndTypes")
        self.assertTrue(answer.body.startswith(header()))

    def test_other_ways_to_write(self):
        self.client.do("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        self.client.do("INSERT INTO t VALUES (1), (2)")
        self.client.do("INSERT INTO t SELECT a + 2 FROM t")
        self.client.do('INSERT INTO t FORMAT JSONEachRow\n{"a": 5}\n{"a": 6}')
        self.assertEqual(self.client.insert("INSERT INTO t VALUES", [b"(7), ", b"(8)"]).status, 200)
        self.assertEqual(self.client.do("SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)"), "[1,2,3,4,5,6,7,8]")

    def test_the_same_token_is_written_once(self):
        self.create_events("SETTINGS non_replicated_deduplication_window = 100")
        for token in ("a", "a", "b"):
            self.insert_events(rows(100, version=7), insert_deduplication_token=token)
        self.assertEqual(self.client.do("SELECT count(), uniqExact(id) FROM events"), "200\t100")

    def test_final_keeps_the_newest(self):
        self.create_events()
        self.insert_events(rows(100, version=2))
        self.insert_events(rows(100, version=1))
        self.assertEqual(self.client.do("SELECT count(), min(version), sum(credits) FROM events FINAL"), "100\t2\t150")

    def test_an_insert_that_is_cut_off_leaves_nothing(self):
        self.create_events()
        url = self.client.url(query="INSERT INTO events FORMAT RowBinary")
        with socket.create_connection(("127.0.0.1", PORT)) as raw:
            piece = rows(5000)[0]
            raw.sendall(f"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                        + b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(1)
        self.assertEqual(self.client.do("SELECT count() FROM events"), "0")

    def test_200_000_rows(self):
        self.create_events()
        pieces = rows(200_000)
        start = time.monotonic()
        self.insert_events(pieces)
        seconds = time.monotonic() - start
        print(f"\n  200,000 rows in {seconds:.2f} s: {200_000 / seconds:,.0f} rows/s", file=sys.stderr)
        self.assertEqual(self.client.do("SELECT count(), sum(credits) FROM events FINAL"), "200000\t300000")

    def test_expect_continue(self):
        self.create_events()
        url = self.client.url(query="INSERT INTO events FORMAT RowBinary")
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as raw:
            raw.sendall(f"POST {url} HTTP/1.1\r\nContent-Length: {len(row(1))}\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertEqual(raw.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            raw.sendall(row(1))
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 200 OK"))

    def test_a_body_of_100_megabytes(self):
        self.client.do("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY tuple()")
        piece = b"\x80\x80\x40" + b"x" * (1 << 20)  # one string of 1 MiB
        self.assertEqual(self.client.insert("INSERT INTO t FORMAT RowBinary", [piece] * 100).status, 200)
        self.assertEqual(self.client.do("SELECT count(), sum(length(a)) FROM t"), f"100\t{100 << 20}")
        self.assertEqual(len(self.client.ask("SELECT a FROM t", default_format="RowBinary").body), 100 * len(piece))


class Together(WithDatabase):
    READERS = 4
    BATCHES = 20
    BATCH_ROWS = 1000

    def test_readers_beside_a_writer(self):
        """Every reader sees whole batches only, and never fewer than before."""
        self.create_events()
        done = threading.Event()
        seen = [[] for _ in range(self.READERS)]
        readers = [threading.Thread(target=self.read, args=(done, counts)) for counts in seen]
        for reader in readers:
            reader.start()
        try:
            for batch in range(self.BATCHES):
                self.insert_events(rows(self.BATCH_ROWS, first=batch * self.BATCH_ROWS))
        finally:
            done.set()
            for reader in readers:
                reader.join()
        for counts in seen:
            self.assertGreater(len(counts), 1)
            self.assertEqual(counts, sorted(counts))
            self.assertEqual([count for count in counts if count % self.BATCH_ROWS], [])
            self.assertEqual(counts[-1], self.BATCHES * self.BATCH_ROWS)

    def read(self, done, counts):
        client = Client(database=self.name)
        finished = False
        while not finished:
            finished = done.is_set()  # so that the last count comes after the last batch
            counts.append(int(client.do("SELECT count() FROM events FINAL")))
        client.close()

    def test_many_databases_at_once(self):
        threads = [threading.Thread(target=self.use_a_database, args=(number,)) for number in range(8)]
        self.failures = []
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.failures, [])

    def use_a_database(self, number):
        root, name = Client(), f"{self.name}_{number}"
        try:
            root.do(f"CREATE DATABASE {name}")
            client = Client(database=name)
            client.do("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
            client.do(f"INSERT INTO t VALUES ({number})")
            self.assertEqual(client.do("SELECT a FROM t"), str(number))
            client.close()
            root.do(f"DROP DATABASE {name}")
        except Exception as error:  # handed to the test's own thread
            self.failures.append(error)
        root.close()


@unittest.skipUnless((STACK / "venv/bin/python").exists(), "chDB is not installed: a real server serves the stack")
class Killed(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tollgate-front-")
        self.addCleanup(shutil.rmtree, self.folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()
        self.addCleanup(self.kill)

    def start(self):
        command = [STACK / "venv/bin/python", "-B", HERE / "clickhouse_front.py",
                   "--port", str(self.port), "--path", self.folder]
        self.front = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.client = Client(self.port)
                return self.client.do("SELECT 1")
            except OSError:
                time.sleep(0.05)
        self.fail("the front did not start")

    def kill(self):
        self.client.close()
        self.front.kill()
        self.front.wait()

    def test_what_was_answered_survives_a_kill(self):
        self.client.do("CREATE DATABASE d")
        self.client.do(f"CREATE TABLE d.events ({COLUMNS}) ENGINE = MergeTree ORDER BY id")
        for batch in range(20):
            answer = self.client.insert("INSERT INTO d.events FORMAT RowBinary", rows(100, first=batch * 100))
            self.assertEqual(answer.status, 200, answer.text)
        self.kill()
        self.start()
        self.assertEqual(self.client.do("SELECT count(), sum(credits) FROM d.events"), "2000\t3000")

    def test_a_stop_is_clean_and_waits_for_a_running_query(self):
        answers, other = [], Client(self.port)
        self.addCleanup(other.close)
        slow = threading.Thread(target=lambda: answers.append(other.ask("SELECT sleep(1.5)")))
        slow.start()
        time.sleep(0.5)
        self.front.terminate()
        slow.join()
        self.assertEqual(answers[0].text, "0\n")
        self.assertEqual(self.front.wait(10), 0)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
