"""Connections to PostgreSQL that notice within seconds that the server does not answer."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import create_engine, make_url
from sqlalchemy.exc import ArgumentError

# With these, a client notices within 30 s that the server is gone without closing the connection.
_LIBPQ = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def is_postgres(url: str | None) -> bool:
    """Return whether a URL names a PostgreSQL database; False if it is malformed."""
    try:
        return url is not None and make_url(url).get_backend_name() == "postgresql"
    except (ArgumentError, ValueError):  # for example, the port is not a number
        return False  # Optuna will say what is wrong with it


def connect_args(url: str) -> dict[str, Any]:
    """Return connection arguments that make an unreachable server fail within seconds."""
    driver = make_url(url).drivername.partition("+")[2]
    return dict(_LIBPQ) if driver in ("", "psycopg", "psycopg2") else {}


def check_reachable(url: str) -> None:
    """Connect once; raise the error of the driver, within seconds, if that fails."""
    engine = create_engine(url, connect_args=connect_args(url))
    try:
        engine.connect().close()
    finally:
        engine.dispose()
