"""ssh's ProxyCommand over a slow line: `slow_relay.py HOST PORT BYTES_A_SECOND`.

It takes what ssh writes at once, as the long queues of modems do, and lets it through slowly.
"""

from __future__ import annotations

import collections
import os
import socket
import sys
import threading
import time

STEP_S = 0.05


def main() -> None:
    host, port, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    far = socket.create_connection((host, port))
    waiting: collections.deque[bytes] = collections.deque()
    ended = threading.Event()

    def take() -> None:
        while piece := os.read(0, 65536):
            waiting.append(piece)
        ended.set()

    def answer() -> None:
        while piece := far.recv(65536):
            os.write(1, piece)
        os._exit(0)

    for work in (take, answer):
        threading.Thread(target=work, daemon=True).start()
    while waiting or not ended.is_set():
        left = int(rate * STEP_S)
        while waiting and left > 0:
            piece = waiting.popleft()
            far.sendall(piece[:left])
            if rest := piece[left:]:
                waiting.appendleft(rest)
            left -= len(piece)
        time.sleep(STEP_S)


if __name__ == "__main__":
    main()
