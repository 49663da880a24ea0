#!/usr/bin/env python3
"""A wire between two network namespaces: wire.py OTHER_NAMESPACE

Carries IP packets between a TUN device `wire` in its own namespace (10.77.0.1) and one in the other (10.77.0.2), each way
with its own delay. Each line on standard input sets both ways anew, in milliseconds, and whether anything gets through:

    THERE JITTER BACK JITTER up|down

Says "ready" when the devices are there. Packets of one way keep their order. It ends with its standard input. This is what
tc netem does; but many kernels come without that, and few without TUN.
"""

import collections
import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000


def device(mine, other):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", b"wire", IFF_TUN | IFF_NO_PI))
    for command in (
        "ip link set lo up",
        f"ip address add {mine} peer {other} dev wire",
        "ip link set wire up",
    ):
        subprocess.run(command.split(), check=True)
    return tun


def enter(namespace):
    with open(namespace) as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


class Way:
    """One direction."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.delay = self.jitter = 0.0
        self.under_way = collections.deque()

    def take(self, up):
        while True:
            try:
                packet = os.read(self.source, 65536)
            except BlockingIOError:
                return
            if up:
                due = time.monotonic() + self.delay + random.uniform(0, self.jitter)
                if self.under_way:
                    due = max(due, self.under_way[-1][0])
                self.under_way.append((due, packet))

    def deliver(self):
        """Hands over what is due; seconds until the next."""
        while self.under_way:
            wait = self.under_way[0][0] - time.monotonic()
            if wait > 0:
                return wait
            try:
                os.write(self.sink, self.under_way.popleft()[1])
            except OSError:
                pass  # A full queue drops, as a wire would.
        return None


def main():
    here = device("10.77.0.1", "10.77.0.2")
    enter(sys.argv[1])
    there = device("10.77.0.2", "10.77.0.1")
    ways = Way(here, there), Way(there, here)
    up = True
    print("ready", flush=True)
    orders = b""
    while True:
        waits = [wait for wait in (way.deliver() for way in ways) if wait is not None]
        readable, _, _ = select.select([here, there, 0], [], [], min(waits, default=None))
        for way in ways:
            if way.source in readable:
                way.take(up)
        if 0 in readable:
            more = os.read(0, 4096)
            if not more:
                return
            *lines, orders = (orders + more).split(b"\n")
            for line in lines:
                *numbers, state = line.decode().split()
                numbers = [float(ms) / 1000 for ms in numbers]
                for way, (delay, jitter) in zip(ways, (numbers[:2], numbers[2:])):
                    way.delay, way.jitter = delay, jitter
                up = state == "up"
                for way in ways:
                    if not up:
                        way.under_way.clear()
                print("set", flush=True)


main()
