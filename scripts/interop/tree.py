"""The whole tree of one server as a client sees it: data, Stat and ACL of every node."""

from kazoo.exceptions import NoNodeError

from load import connect, disconnect

# Each server keeps this node for itself: its mtime is the moment of that server's own start.
LOCAL = "/zookeeper/config"
BATCH = 200


def read_tree(seat):
    """path -> (data, Stat, children, ACL), and the session that read it, which is closed by then. The
    server catches up with the leader first."""
    client = connect(seat.address, timeout=10)
    try:
        client.sync("/")
        tree, level = {}, ["/"]
        while level:
            found = _read(client, level)
            tree.update(found)
            level = [_child(path, name) for path, node in found.items() for name in node[2]]
        return tree, client.client_id
    finally:
        disconnect(client)


def _child(parent, name):
    return f"{parent.rstrip('/')}/{name}"


def _read(client, paths):
    found = {}
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        asks = (client.get_async, client.get_children_async, client.get_acls_async)
        for path, answers in [(path, [ask(path) for ask in asks]) for path in batch]:
            try:
                (data, stat), children, (acl, _) = (answer.get(timeout=20) for answer in answers)
                found[path] = (data, _comparable(path, stat), tuple(sorted(children)), tuple(acl))
            except NoNodeError:
                continue  # an ephemeral that has just expired
    return found


def _comparable(path, stat):
    return None if path == LOCAL else tuple(stat)


def differences(seats, trees):
    """What two servers tell differently, in words."""
    found = []
    first, reference = seats[0], trees[0]
    for seat, tree in zip(seats[1:], trees[1:]):
        for path in sorted(reference.keys() | tree.keys()):
            one, two = reference.get(path), tree.get(path)
            if one != two:
                found.append(f"{path}: {first.name} has {_show(one)}, {seat.name} has {_show(two)}")
    return found


def _show(node):
    if node is None:
        return "nothing"
    data, stat, children, acl = node
    return f"{data!r} {stat}, {len(children)} children, {acl}"
