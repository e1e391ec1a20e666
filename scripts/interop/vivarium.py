"""A Vivarium server: `vivarium serve` in the background."""

from process import ServerProcess


class VivariumServer(ServerProcess):
    """One server of ours; it reads the very zoo.cfg that Apache's would."""

    def __init__(self, name, config, log, client_port, binary):
        super().__init__(name, config, log, client_port)
        self.binary = binary

    def command(self):
        return [str(self.binary), "serve", str(self.config)]
