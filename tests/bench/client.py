"""A PostgreSQL client that costs next to nothing, so that what is measured is the server's side of the conversation."""

import base64
import hashlib
import hmac
import os
import socket
import struct

# PBKDF2 takes milliseconds: its result is kept by password, salt and count.
_SALTED = {}

READY_IDLE = b"Z\x00\x00\x00\x05I"


class Client:
    """One connection, logged in by SCRAM-SHA-256 (or without a password)."""

    def __init__(self, port, user, password, database, timeout=60):
        self.password = password
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        body = struct.pack("!i", 196608)
        for name, value in (("user", user), ("database", database)):
            body += name.encode() + b"\0" + value.encode() + b"\0"
        body += b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self._log_in()

    def _log_in(self):
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n=,r={nonce}"
        while True:
            kind, body = self.message()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (code,) = struct.unpack("!i", body[:4])
            if code == 10:
                start = f"n,,{first}".encode()
                self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(start)) + start)
            elif code == 11:
                challenge = body[4:].decode()
                self.send(b"p", self._proof(first, challenge).encode())
            elif code not in (0, 12):
                raise OSError(f"the server wants an authentication of kind {code}")

    def _proof(self, first, challenge):
        parts = dict(part.split("=", 1) for part in challenge.split(","))
        key = (self.password, parts["s"], parts["i"])
        if key not in _SALTED:
            _SALTED[key] = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client = hmac.digest(_SALTED[key], b"Client Key", "sha256")
        bare = f"c=biws,r={parts['r']}"
        signature = hmac.digest(hashlib.sha256(client).digest(), f"{first},{challenge},{bare}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        return f"{bare},p={proof}"

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def message(self):
        """The next message: its letter and body. An ErrorResponse is raised."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!i", self.buffer[1:5])[0]:
            more = self.socket.recv(65536)
            if not more:
                raise OSError("the server closed the connection")
            self.buffer += more
        end = 1 + struct.unpack("!i", self.buffer[1:5])[0]
        kind, body, self.buffer = self.buffer[:1], self.buffer[5:end], self.buffer[end:]
        if kind == b"E":
            fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
            raise OSError(fields.get(b"M", "error"))
        return kind, body

    def query(self, sql):
        """Runs a small statement; what it gives is read and dropped."""
        self.send(b"Q", sql.encode() + b"\0")
        while self.message()[0] != b"Z":
            pass

    def drain(self, sql):
        """Runs a statement with a large result and drops it as fast as it comes; its bytes."""
        self.send(b"Q", sql.encode() + b"\0")
        return self.drain_rest()

    def drain_rest(self):
        """Drops all up to ReadyForQuery; its bytes."""
        space = memoryview(bytearray(1 << 20))
        total, tail, kind = len(self.buffer), self.buffer[-6:], self.buffer[:1] or None
        self.buffer = b""
        while tail != READY_IDLE:
            n = self.socket.recv_into(space)
            if not n:
                raise OSError("the server closed the connection")
            if kind is None:
                kind = bytes(space[:1])
            if kind == b"E":
                raise OSError(bytes(space[:n]).decode(errors="replace"))
            total += n
            tail = (tail + bytes(space[max(0, n - 6) : n]))[-6:]
        return total

    def copy_in(self, sql, chunks):
        """Sends data for a COPY FROM STDIN."""
        self.send(b"Q", sql.encode() + b"\0")
        while self.message()[0] != b"G":
            pass
        for chunk in chunks:
            self.send(b"d", chunk)
        self.send(b"c", b"")
        while self.message()[0] != b"Z":
            pass

    def close(self):
        try:
            self.send(b"X", b"")
        except OSError:
            pass
        self.socket.close()
