"""Four-letter words of a running ensemble, read as monitoring reads them."""

from flows.check import equal, holds

LEADER_ONLY = ("learners", "synced_followers", "pending_syncs", "leader_uptime", "last_proposal_size")


def words(stage):
    """mntr, stat, srvr, conf, cons, envi, dump, isro, ruok, wchs and the resets on each server"""
    ensemble = stage.ensemble
    leader = ensemble.wait_for_all()
    clients, root = stage.clients_on_each(), stage.room()
    clients[0].create(root, b"x", ephemeral=True)
    for seat, client in zip(ensemble.seats, clients):
        client.sync(root)
        client.exists(root, watch=lambda event: None)
        equal(client.server_version(), (3, 9, 5), "the version that kazoo reads from envi")
        equal((seat.server.word("ruok"), seat.server.word("isro")), ("imok", "rw"), "ruok and isro")
        figures(seat, leader is seat)
        summary(seat, client)
        settings(seat)
        sessions(seat, client, root, clients[0])
    resets(clients[0])


def figures(seat, leads):
    lines = [line.split("\t") for line in seat.server.word("mntr").splitlines()]
    holds(all(len(line) == 2 and line[0].startswith("zk_") for line in lines), f"lines of mntr: {lines}")
    figure = {key.removeprefix("zk_"): value for key, value in lines}
    state, phase = ("leader", "leading") if leads else ("follower", "following")
    equal((figure["server_state"], figure["peer_state"]), (state, f"{phase} - broadcast"), "the state in mntr")
    equal(figure["quorum_size"], "3", "quorum_size")
    equal(figure["ephemerals_count"], "1", "ephemerals_count")
    holds(int(figure["global_sessions"]) >= 3 and int(figure["uptime"]) > 0, f"mntr: {figure}")
    for key in LEADER_ONLY:
        equal(key in figure, leads, f"{key} in mntr of a {state}")
    if leads:
        equal((figure["learners"], figure["synced_followers"]), ("2", "2"), "followers of the leader")


def summary(seat, client):
    head, _, tail = seat.server.word("stat").partition("\n\n")
    first, clients, *connections = head.split("\n")
    holds(first.startswith("Zookeeper version: 3.9.5-") and clients == "Clients:", f"head of stat: {head}")
    holds(all(line.startswith(" /127.0.0.1:") for line in connections), f"clients of stat: {connections}")
    equal(f"{len(connections)}", line_of(tail, "Connections: "), "connections of stat")
    zxid = client.exists("/").pzxid
    holds(int(line_of(tail, "Zxid: "), 16) >= zxid, "the zxid of stat")


def settings(seat):
    conf = dict(line.split("=", 1) for line in seat.server.word("conf").splitlines() if "=" in line)
    expected = (str(seat.number), str(seat.client_port), str(seat.quorum_port), f"{seat.data}/version-2")
    got = tuple(conf.get(key) for key in ("serverId", "clientPort", "quorumPort", "dataDir"))
    equal(got, expected, "conf")
    envi = dict(line.split("=", 1) for line in seat.server.word("envi").splitlines()[1:])
    holds({"zookeeper.version", "host.name", "os.name", "user.dir"} <= envi.keys(), f"envi: {envi}")


def sessions(seat, client, path, owner):
    mine = f"sid={client.client_id[0]:#x},"
    lines = [line for line in seat.server.word("cons").splitlines() if mine in line]
    equal(len(lines), 1, f"lines of cons with {mine}")
    keys = [part.split("=")[0] for part in lines[0].split(",")[3:]]
    equal(keys, ["sid", "lop", "est", "to", "lcxid", "lzxid", "lresp", "llat", "minlat", "avglat", "maxlat"], "keys of cons")
    dump = seat.server.word("dump")
    holds(f"\n{owner.client_id[0]:#x}:\n\t{path}\n" in dump, f"the ephemeral in dump: {dump}")
    holds(seat.server.word("wchs").startswith("1 connections watching 1 paths\nTotal watches:1"), "wchs")


def resets(client):
    equal(client.command(b"crst"), "Connection stats reset.\n", "crst")
    equal(client.command(b"srst"), "Server stats reset.\n", "srst")
    received = int(line_of(client.command(b"srvr"), "Received: "))
    holds(received < 20, f"{received} packets received right after srst")


def line_of(text, key):
    return next((line.removeprefix(key) for line in text.splitlines() if line.startswith(key)), None)


FLOWS = [words]
