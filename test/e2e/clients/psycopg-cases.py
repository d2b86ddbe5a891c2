"""What psycopg does by a Postgres port. Prints the name of each case that is well.

Arguments: the URI, the same by the certificate's name, the file of its authority, and `session`
where the port keeps sessions.
"""

import sys
import threading
import time

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

URI, NAMED_URI, CA_FILE, KEEPS = sys.argv[1:5]


def connect(uri=URI, **settings):
    return psycopg.connect(uri, connect_timeout=20, **settings)


def tls_modes():
    for mode in ("disable", "prefer", "require", "verify-full"):
        with connect(NAMED_URI, sslmode=mode, sslrootcert=CA_FILE) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
            assert connection.pgconn.ssl_in_use == (mode != "disable")


def parameters():
    with connect(row_factory=dict_row) as connection:
        row = connection.execute(
            "select %(n)s::int as n, %(list)s::int[] as list, %(bytes)s as bytes, %(none)s::int as none",
            {"n": 7, "list": [1, 2], "bytes": b"\x00\xff", "none": None},
        ).fetchone()
        assert row == {"n": 7, "list": [1, 2], "bytes": b"\x00\xff", "none": None}


def prepared_statements():
    with connect() as connection:
        for count in range(50):
            row = connection.execute("select %s::int * 2", (count,), prepare=True).fetchone()
            assert row == (count * 2,)


def binary_results():
    with connect() as connection, connection.cursor(binary=True) as cursor:
        cursor.execute("select %s::int8, %s::text, array[1.5::float8]", (2**40, "ä"))
        assert cursor.fetchone() == (2**40, "ä", [1.5])


def pipeline():
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (n,)) for n in range(500)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(500))


def error_in_pipeline():
    with connect(autocommit=True) as connection:
        # It is told where it is met: by whichever statement comes after it.
        try:
            with connection.pipeline():
                connection.execute("select 1")
                connection.execute("select 1 / %s", (0,))
                connection.execute("select 2")
            raise AssertionError("no error")
        except errors.DivisionByZero as error:
            assert error.sqlstate == "22012"
        assert connection.execute("select 3").fetchone() == (3,)


def transactions():
    with connect() as connection:
        connection.execute("create table kept (n int primary key)")
        connection.commit()
        with connection.transaction():
            connection.execute("insert into kept values (1)")
            try:
                with connection.transaction():
                    connection.execute("insert into kept values (1)")
            except errors.UniqueViolation:
                pass
        connection.execute("delete from kept")
        connection.rollback()
        assert connection.execute("select n from kept").fetchall() == [(1,)]


def many_at_once():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("create table many (n int)")
        cursor.executemany("insert into many values (%s)", [(n,) for n in range(1000)])
        assert cursor.rowcount == 1000


def server_side_cursor():
    with connect() as connection, connection.cursor(name="portions") as cursor:
        cursor.itersize = 70
        cursor.execute("select n from generate_series(1, 1000) n")
        assert sum(n for (n,) in cursor) == 500500


def copies():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("create table copied (n int, word text)")
        with cursor.copy("copy copied from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(10_000):
                copy.write_row((n, f"wört {n}"))
        with cursor.copy("copy copied to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 10_000
        connection.commit()
        try:
            with cursor.copy("copy copied from stdin") as copy:
                copy.write("wrong\trow\n")
            raise AssertionError("no error")
        except errors.InvalidTextRepresentation:
            connection.rollback()
        try:
            with cursor.copy("copy copied from stdin") as copy:
                copy.write("1\tgiven up\n")
                raise KeyError("given up")
        except errors.QueryCanceled:
            connection.rollback()
        assert cursor.execute("select count(*) from copied").fetchone() == (10_000,)


def cancels():
    with connect(autocommit=True) as connection:
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        began = time.monotonic()
        try:
            connection.execute("select pg_sleep(60)")
            raise AssertionError("no error")
        except errors.QueryCanceled:
            assert time.monotonic() - began < 30
        assert connection.execute("select 1").fetchone() == (1,)


def notices():
    with connect() as connection:
        heard = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        connection.execute("do $$ begin raise notice 'grüße'; end $$")
        assert heard == ["grüße"]


def names_of_all_scripts():
    with connect() as connection, connection.cursor() as cursor:
        name = "таблица 表 👩‍🚀"
        cursor.execute(sql.SQL("create table {} (n int)").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
        assert cursor.fetchall() == []


def large():
    with connect() as connection:
        text = "x" * 5_000_000
        assert connection.execute(f"select length('{text}')").fetchone() == (5_000_000,)
        rows = connection.execute("select repeat('y', 1000) from generate_series(1, 50000)")
        assert sum(len(row[0]) for row in rows) == 50_000_000


def nothing_and_several():
    with connect(autocommit=True) as connection:
        cursor = connection.execute("")
        assert cursor.description is None
        cursor = connection.execute("select 1; select 2")
        assert cursor.fetchone() == (1,)
        assert cursor.nextset() and cursor.fetchone() == (2,)


def notifications():
    with connect(autocommit=True) as listener, connect(autocommit=True) as other:
        listener.execute("listen news")
        other.execute("select pg_notify('news', 'hello')")
        for notification in listener.notifies():
            assert notification.payload == "hello"
            break


def session_state():
    with connect(autocommit=True, options="-c statement_timeout=30s") as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("30s",)
        connection.execute("create temporary table own (n int)")
        assert connection.execute("select count(*) from own").fetchone() == (0,)


CASES = [
    *(tls_modes, parameters, prepared_statements, binary_results, pipeline, error_in_pipeline),
    *(transactions, many_at_once, server_side_cursor, copies, cancels, notices),
    *(names_of_all_scripts, large, nothing_and_several),
]
OF_A_SESSION = [notifications, session_state]

for case in CASES + (OF_A_SESSION if KEEPS == "session" else []):
    case()
    print(case.__name__, flush=True)
