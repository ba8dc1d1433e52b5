"""An advisory lock in PostgreSQL that allows one driver at a time and ends with its connection."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from typing import Any

from search.errors import StudyBusyError
from search.study.file_lease import busy

GRACE_SECONDS = 5.0  # how long the server may take to end a lost session of this process
# With these settings the server notices within half a minute that a driver has disappeared.
_SERVER = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
_HOLDER = """
    SELECT pid, application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = %s
"""


def this_process() -> str:
    """Return the name under which this process holds a lease, in at most 63 bytes.

    PostgreSQL cuts an application's name after 63 bytes.
    """
    holder = f"lockstep/{os.getpid()}/{int(time.time())}/{socket.gethostname()}"
    return holder.encode("ascii", "replace")[:63].decode()


class PostgresLease:
    """The lease of a study, which each new connection must take before it is used."""

    def __init__(self, study: str, holder: str | None = None) -> None:
        self._study = study
        self._holder = holder or this_process()
        digest = hashlib.sha256(f"lockstep {study}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)

    def take(self, connection: Any, _: object = None) -> None:
        """Take the lock on a DBAPI connection, which then holds it for as long as it lives.

        Raises StudyBusyError, which names the holder. A connection that does not get the lock is
        closed, so that nothing can be written through it.
        """
        try:
            self._take(connection)
        except BaseException:
            connection.close()
            raise

    def _take(self, connection: Any) -> None:
        """Take the lock, ending an earlier connection of this process that still holds it."""
        deadline = time.monotonic() + GRACE_SECONDS
        with connection.cursor() as cursor:
            for name, value in _SERVER.items():
                cursor.execute(f"SET {name} = {value}")
            cursor.execute("SELECT set_config('application_name', %s, false)", (self._holder,))
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (self._key,))
                if cursor.fetchone()[0]:
                    connection.commit()
                    return
                cursor.execute(_HOLDER, (self._key,))
                pid, holder = cursor.fetchone() or (None, self._holder)
                if holder != self._holder or time.monotonic() > deadline:
                    raise StudyBusyError(busy(self._study, _read(holder)))
                if pid is not None:  # our own connection, whose loss the server has not noticed
                    cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
                time.sleep(0.1)


def _read(holder: str) -> str:
    """Convert a holder's name to the JSON that `file_lease.busy` takes."""
    name, *fields = holder.split("/", 3)
    if name != "lockstep" or len(fields) != 3:
        return ""
    pid, started, host = fields
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(started)))
    return json.dumps({"pid": pid, "host": host, "started": since})
