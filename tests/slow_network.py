#!/usr/bin/env python3
"""Two hosts that are network namespaces of this machine, with a slow network between them.

    tests/slow_network.py --delay-ms 1 --mbit-s 100 -- PROGRAM ARGUMENTS...

runs the program on two ranks of Open MPI, one on each host. Their packets leave at this rate, by
the kernel's token bucket, and arrive this delay later, by this script, which passes them on (few
kernels have netem). It needs root, for the namespaces, /dev/net/tun, and iproute2.
"""

import argparse
import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time

HOSTS = {"rung-a": "10.97.0.1", "rung-b": "10.97.0.2"}
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
MTU = 9000


def run(*command):
    subprocess.run(command, check=True)


def ip(*arguments):
    run("ip", *arguments)


def device(name):
    """The descriptor of a new TUN device: reads and writes are whole packets."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def relay(tuns, delay_s):
    """Passes packets on between both devices, until they are gone."""
    # For each direction: packets on their way, with the time of their arrival.
    under_way = [collections.deque(), collections.deque()]
    while True:
        arrivals = [packets[0][0] for packets in under_way if packets]
        wait = max(0.0, min(arrivals) - time.monotonic()) if arrivals else None
        readable, _, _ = select.select(tuns, [], [], wait)
        for here, tun in enumerate(tuns):
            if tun in readable:
                try:
                    packet = os.read(tun, MTU)
                except OSError:
                    return
                under_way[here].append((time.monotonic() + delay_s, packet))
        now = time.monotonic()
        for here, packets in enumerate(under_way):
            while packets and packets[0][0] <= now:
                os.write(tuns[1 - here], packets.popleft()[1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of every packet")
    parser.add_argument("--mbit-s", type=float, default=1000.0, help="of each direction")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    first, second = HOSTS
    try:
        tuns = []
        for host, address in HOSTS.items():
            ip("netns", "add", host)
            tuns.append(device(host))
            ip("link", "set", host, "netns", host)
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", host, "mtu", str(MTU), "up")
            ip("-n", host, "address", "add", f"{address}/24", "dev", host)
            bucket = ["tbf", "rate", f"{options.mbit_s}mbit", "burst", "128kb", "latency", "100ms"]
            run("tc", "-n", host, "qdisc", "add", "dev", host, "root", *bucket)
        delay_s = options.delay_ms / 1e3
        threading.Thread(target=relay, args=(tuns, delay_s), daemon=True).start()
        with tempfile.TemporaryDirectory() as folder:
            # What mpirun starts a daemon on another host with, in place of ssh.
            agent = os.path.join(folder, "agent")
            with open(agent, "w") as file:
                name = f'hostname {second}; exec sh -c "$0"'
                file.write("#!/bin/sh\nshift\n")
                file.write(f"exec ip netns exec {second} unshare --uts sh -c '{name}' \"$*\"\n")
            os.chmod(agent, 0o755)
            ranks = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", "2"]
            ranks += ["--host", ",".join(HOSTS.values()), "--mca", "plm_rsh_agent", agent]
            ranks += ["--mca", "btl", "tcp,self", "--mca", "pml", "ob1"]
            ranks += ["--mca", "btl_tcp_if_include", "10.97.0.0/24"]
            ranks += ["--mca", "oob_tcp_if_include", "10.97.0.0/24", *options.program]
            names = f'hostname {first}; exec "$@"'
            there = ["ip", "netns", "exec", first, "unshare", "--uts", "sh", "-c", names, "sh"]
            return subprocess.run(there + ranks).returncode
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host])


sys.exit(main())
