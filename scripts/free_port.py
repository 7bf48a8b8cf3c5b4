"""Prints the first free TCP port from the one given on, of a hundred."""

import socket
import sys

first = int(sys.argv[1])
for port in range(first, min(first + 100, 65536)):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("localhost", port))
        except OSError:
            continue
    print(port)
    sys.exit(0)
sys.exit(1)
