"""A transcript: one JSON line a scenario, the same for every server that answers rightly.

A scenario is a function that gets a `Record` and notes what it saw. What changes from run to run (process ids, OIDs,
clocks) is never noted. An exception that a scenario didn't expect becomes its `failed`.
"""

import datetime
import decimal
import enum
import ipaddress
import json
import math
import os
import sys
import uuid


def plain(value):
    """`value` as JSON can hold it, told apart by type where JSON would mix them up."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "hex:" + bytes(value).hex() if len(value) <= 64 else f"bytes:{len(value)}"
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, (datetime.timedelta, decimal.Decimal, uuid.UUID)) or isinstance(
        value, (ipaddress.IPv4Interface, ipaddress.IPv6Interface, ipaddress.IPv4Address, ipaddress.IPv4Network)
    ):
        return str(value)
    if hasattr(value, "items") and callable(value.items):  # asyncpg.Record
        return {str(k): plain(v) for k, v in value.items()}
    return str(value)


class Record:
    """What one scenario saw, in order."""

    def __init__(self):
        self.seen = []

    def note(self, what, value=None):
        self.seen.append([what, plain(value)])

    def error(self, what, exc):
        """The class and the SQLSTATE of an expected error, and the server's fields that a program may act on."""
        diag = getattr(exc, "diag", None)
        entry = {"class": type(exc).__name__, "sqlstate": getattr(exc, "sqlstate", None)}
        for field in ("constraint_name", "table_name", "column_name", "message_primary", "message_detail", "message_hint",
                      "severity", "statement_position"):
            value = getattr(diag, field, None)
            if value is not None:
                entry[field] = value
        for field in ("constraint_name", "table_name", "message", "detail", "hint", "severity", "position"):
            value = getattr(exc, field, None) if diag is None else None
            if isinstance(value, str):
                entry[field] = value
        self.seen.append([what, entry])


def emit(name, record, failure):
    """Prints one scenario's line."""
    line = {"scenario": name, "seen": record.seen}
    if failure is not None:
        state = getattr(failure, "sqlstate", None)
        line["failed"] = f"{type(failure).__name__} {state or ''}: {failure}".strip()
    print(json.dumps(line, sort_keys=True), flush=True)


def arguments():
    """The DSN, the schema to work in, and the scenarios wanted (all, unless named)."""
    if len(sys.argv) < 3:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} DSN SCHEMA [SCENARIO…]")
    return sys.argv[1], sys.argv[2], sys.argv[3:]
