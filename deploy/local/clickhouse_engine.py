"""The engine behind the local ClickHouse front: chDB, one connection a request.

A connection of chDB is a session with its own settings and current database. It costs
0.15 ms to open, so every request gets a fresh one, and nothing leaks from request to
request. One more connection, the keeper, stays open so that the engine stays up.

Not here: anything of HTTP (see clickhouse_front.py, clickhouse_wire.py).
"""

import re
from contextlib import contextmanager

import chdb

BAD_NAME = re.compile(r"\W")
EXCEPTION = re.compile(r"Code: (\d+)\. DB::\w*Exception: ")


class EngineError(Exception):
    """What ClickHouse would have answered: its number, and its text from `Code: N.` on."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text

    @classmethod
    def of(cls, code, name, sentence):
        return cls(code, f"Code: {code}. DB::Exception: {sentence} ({name}) (version {chdb.engine_version})")

    @classmethod
    def parse(cls, message):
        found = EXCEPTION.search(message)
        if not found:
            return cls.of(1002, "UNKNOWN_EXCEPTION", message)
        text = message[found.start():]
        if "(version " not in text:
            text += f" (version {chdb.engine_version})"
        return cls(int(found.group(1)), text)


class Engine:
    """All calls may come from any number of threads: chDB runs its queries outside Python's lock."""

    def __init__(self, path):
        self._path = path
        self._keeper = chdb.connect(path)

    def close(self):
        """Must run before the process exits: chDB crashes in an exit with open connections."""
        self._keeper.close()

    def query(self, request):
        """Runs `request.statement`; returns (the bytes in request.format, chDB's result with its counts)."""
        with self._session(request) as session:
            self._refuse_several(session, request.statement)
            result = session.query(request.statement, request.format, params=request.params)
            return result.bytes(), result

    def insert(self, request, data_format, chunks):
        """Feeds encoded `chunks` to an INSERT without its FORMAT clause. All of it or, when `chunks` raises,
        none of it (but for blocks already written when it is longer than max_insert_block_size)."""
        with self._session(request) as session:
            stream = session.send_insert(request.statement, data_format)
            try:
                for chunk in chunks:
                    stream.append(chunk)
            except BaseException:
                stream.cancel()
                raise
            return stream.finish()

    @contextmanager
    def _session(self, request):
        try:
            session = chdb.connect(self._path)
            try:
                self._prepare(session, request)
                yield session
            finally:
                session.close()
        except (RuntimeError, chdb.ChdbError) as error:
            raise EngineError.parse(str(error)) from None

    @staticmethod
    def _prepare(session, request):
        settings = dict(request.settings)
        readonly = settings.pop("readonly", None)
        if settings:
            session.query("SET " + ", ".join(assignment(name, value) for name, value in settings.items()))
        if request.database:
            session.query("USE " + quoted_name(request.database))
        if readonly is not None:  # last, since it forbids the rest
            session.query("SET " + assignment("readonly", readonly))

    @staticmethod
    def _refuse_several(session, statement):
        """chDB would run `SELECT 1; SELECT 2`; a server does not, so a migration must not rely on it."""
        if ";" in statement and session._conn.classify_query(statement)["statement_count"] > 1:
            raise EngineError.of(62, "SYNTAX_ERROR", "Syntax error: Multi-statements are not allowed")


def assignment(name, value):
    if BAD_NAME.search(name):
        raise EngineError.of(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    return f"{name} = {quoted_text(value)}"


def quoted_text(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name):
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
