"""Three real servers of one ensemble, as a person would start, kill, pause and stop them."""

import signal
import socket
import subprocess
import time

HOST = "127.0.0.1"


class Trouble(Exception):
    """The servers did not do what they must, or not in time."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    def __init__(self, number, binary, folder, client_port, members):
        self.number, self.binary, self.client_port = number, binary, client_port
        self.folder = folder / f"server{number}"
        data = self.folder / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{number}\n")
        # The marker that allows a first start before the others have been seen.
        (data / "initialize").touch()
        self.config = self.folder / "zoo.cfg"
        self.config.write_text(
            f"dataDir={data}\nclientPort={client_port}\nclientPortAddress={HOST}\n"
            "tickTime=500\ninitLimit=20\nsyncLimit=6\n4lw.commands.whitelist=*\n" + members
        )
        self.process = None

    @property
    def log_folder(self):
        return self.folder / "data" / "version-2"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, limit):
        """Asks it to stop; answers its exit code, or None where it had to be killed."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def word(self, word):
        try:
            with socket.create_connection((HOST, self.client_port), timeout=2) as stream:
                stream.sendall(word.encode())
                answer = b""
                while chunk := stream.recv(4096):
                    answer += chunk
                return answer.decode()
        except OSError:
            return ""

    def mode(self):
        for line in self.word("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None

    def died(self):
        return self.process is not None and self.process.poll() is not None


def until(what, limit, ask):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.02)
    raise Trouble(f"waited {limit} s in vain for {what}")


def leader_of(servers):
    return next((one for one in servers if one.process and one.mode() == "leader"), None)


def ensemble(binary, folder):
    """Three servers, not started yet."""
    client, quorum, election = (free_ports(9)[i::3] for i in range(3))
    members = "".join(f"server.{i + 1}={HOST}:{quorum[i]}:{election[i]}\n" for i in range(3))
    return [Server(i + 1, binary, folder, client[i], members) for i in range(3)]
