"""A server process of either kind: started in the background, ended by its own pid only."""

import signal
import socket
import subprocess
import time

from trouble import HarnessTrouble, Violation

HOST = "127.0.0.1"


def four_letter_word(port, word, limit=2.0, host=HOST):
    """The answer of a server to a four-letter word, or an empty text."""
    try:
        with socket.create_connection((host, port), timeout=limit) as stream:
            stream.sendall(word.encode())
            answer = b""
            while chunk := stream.recv(65536):
                answer += chunk
            return answer.decode(errors="replace")
    except OSError:
        return ""


def until(what, limit, ask, pause=0.05):
    """Asks until the answer is neither None nor False; answers it."""
    end = time.monotonic() + limit
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > end:
            raise Violation(f"waited {limit} s in vain for {what}")
        time.sleep(pause)


class ServerProcess:
    """One server with a configuration and a log; `command` is what a subclass runs."""

    def __init__(self, name, config, log, client_port):
        self.name, self.config, self.log, self.client_port = name, config, log, client_port
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it and does not wait."""
        if self.alive():
            raise HarnessTrouble(f"{self.name} runs already")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def died(self):
        """The exit code of a process that nobody here ended, else None."""
        return self.process.poll() if self.process else None

    def kill(self):
        self._end(signal.SIGKILL, None)

    def stop(self, limit=20.0):
        """Asks it to end; answers its exit code. It is killed where it does not end in time."""
        return self._end(signal.SIGTERM, limit)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def word(self, word):
        return four_letter_word(self.client_port, word)

    def mode(self):
        """leader, follower, observer, standalone; None where it does not serve."""
        for line in self.word("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ").strip()
        return None

    def wait_serving(self, limit=60.0):
        until(f"{self.name} to serve; see {self.log}", limit, self.mode)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _end(self, how, limit):
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(how)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
