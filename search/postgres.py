"""Connecting to PostgreSQL, so that a server that is away is noticed within seconds."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import create_engine, make_url
from sqlalchemy.exc import ArgumentError

# A driver notices within half a minute that the server is gone without a word.
_LIBPQ = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def is_postgres(url: str | None) -> bool:
    """Return whether a URL names a PostgreSQL database; one that is malformed does not."""
    try:
        return url is not None and make_url(url).get_backend_name() == "postgresql"
    except (ArgumentError, ValueError):  # a port that is no number, for one
        return False  # Optuna will say what is wrong with it


def connect_args(url: str) -> dict[str, Any]:
    """Return what makes an unreachable server fail within seconds."""
    driver = make_url(url).drivername.partition("+")[2]
    return dict(_LIBPQ) if driver in ("", "psycopg", "psycopg2") else {}


def check_reachable(url: str) -> None:
    """Raise whatever a connection fails with, within seconds."""
    engine = create_engine(url, connect_args=connect_args(url))
    try:
        engine.connect().close()
    finally:
        engine.dispose()
