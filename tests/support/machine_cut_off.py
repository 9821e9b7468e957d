"""Runs a command on a machine cut off from all others, and tells what it wanted of them.

    unshare --net --mount python machine_cut_off.py refused|dropped REPORT COMMAND...

refused: no name has an address, and a connection to another machine fails at once.
dropped: every name has an address, but whatever is sent to another machine is lost, as behind a
firewall: a connection waits for an answer until it gives up.

REPORT becomes a JSON list of the names that were looked up and the addresses that were called.
"""

import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SOMEWHERE = "203.0.113.7"  # of a range for documentation: no machine has it
IPV4 = 0x0800  # the type of an Ethernet frame
DROPPED = """
ip link add outside type veth peer name nowhere
ip link set outside up arp off
ip link set nowhere up
ip address add 192.0.2.1/32 dev outside
ip route add default dev outside
"""


def main(mode: str, report: str, *command: str) -> int:
    """Runs the command in the network namespace of this process; returns its exit code."""
    asked: list[str] = []
    _run("ip link set lo up")
    if mode == "dropped":
        _run(DROPPED)
        _in_background(_record_packets, asked)
    _in_background(_answer_names, SOMEWHERE if mode == "dropped" else None, asked)
    _ask_this_machine_for_names()
    unreachable = _unreachable()
    exit_code = subprocess.run(command, check=False).returncode
    asked += ["an address"] * (_unreachable() - unreachable)
    Path(report).write_text(json.dumps(asked))
    return exit_code


def _run(commands: str) -> None:
    for line in commands.strip().splitlines():
        subprocess.run(line.split(), check=True)


def _in_background(function, *arguments) -> None:
    """Starts a thread once its socket is open."""
    is_ready = threading.Event()
    threading.Thread(target=function, args=(*arguments, is_ready), daemon=True).start()
    is_ready.wait()


def _record_packets(asked: list[str], is_ready: threading.Event) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4)) as packets:
        packets.bind(("nowhere", IPV4))
        is_ready.set()
        while True:
            asked.append(socket.inet_ntoa(packets.recv(2048)[16:20]))


def _answer_names(address: str | None, asked: list[str], is_ready: threading.Event) -> None:
    """Answers every question of DNS, RFC 1035: with the address, or that there is no such name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        is_ready.set()
        while True:
            query, sender = server.recvfrom(512)
            name, end = _name(query)
            asked.append(name)
            (kind,) = struct.unpack("!H", query[end : end + 2])
            record = b""
            if address and kind == 1:  # an IPv4 address, kept for no second
                record = struct.pack("!HHHIH4s", 0xC00C, 1, 1, 0, 4, socket.inet_aton(address))
            flags = 0x8180 if address else 0x8183
            header = struct.pack("!2sHHHHH", query[:2], flags, 1, bool(record), 0, 0)
            server.sendto(header + query[12 : end + 4] + record, sender)


def _name(query: bytes) -> tuple[str, int]:
    """Returns the name in a question, and where it ends."""
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode())
        position += 1 + length
    return ".".join(labels), position + 1


def _ask_this_machine_for_names() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolver:
        resolver.write("nameserver 127.0.0.1\n")
        resolver.flush()
        _run(f"mount --bind {resolver.name} /etc/resolv.conf")


def _unreachable() -> int:
    """Returns how often an address was called to which there is no way."""
    names, counts = (
        line.split()[1:]
        for line in Path("/proc/self/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    )
    return int(counts[names.index("OutNoRoutes")])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
