"""What a flow runs on: three servers, and kazoo clients that end with it."""

import contextlib
import itertools

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry


class Stage:
    rooms = itertools.count(1)

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.clients = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clients.close()

    def room(self):
        """A path of its own for each flow."""
        return f"/flow-{next(self.rooms):02}"

    def hosts(self, seats=None):
        return ",".join(seat.address for seat in seats or self.ensemble.seats)

    def client(self, chroot="", seats=None, timeout=10, **options):
        """A started client; of all servers, or of those on these seats."""
        client = KazooClient(
            hosts=self.hosts(seats) + chroot,
            timeout=timeout,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=1, max_jitter=0.1),
            command_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=1, max_jitter=0.1),
            **options,
        )
        self.clients.callback(end, client)
        client.start(timeout=30)
        return client

    def clients_on_each(self, **options):
        """One client on each server."""
        return [self.client(seats=[seat], **options) for seat in self.ensemble.seats]


def end(client):
    client.stop()
    client.close()
