"""Two hosts with a cicada each: cloud-sync makes a WireGuard tunnel of their keys, and a wrong key stops it."""

# ruff: noqa: F821

import json

INSIDE = {"left": "10.99.0.1", "right": "10.99.0.2"}
OUTSIDE = {"left": "192.168.1.1", "right": "192.168.1.2"}
ALICE = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
# A directory that the driver shares between all machines, and where everybody may reach it.
SHARED, EXCHANGE = "/tmp/shared/exchange", "/exchange"


def cloud_sync(here: str, there: str, role: str) -> str:
    """Starts what makes one end, as a user whose only capability is that of the network."""
    options = (
        f"--role {role} --exchange {EXCHANGE} --peer-key {EXCHANGE}/{there}.ml-dsa-65 "
        f"--address {INSIDE[here]}/32 --endpoint {OUTSIDE[there]}:51820 --allow {INSIDE[there]}/32"
    )
    user = "--uid=cloud-sync --gid=cloud-sync --property=AmbientCapabilities=CAP_NET_ADMIN"
    # Its unit stays when it has ended, with how it ended.
    return f"systemd-run --unit=cloud-sync --remain-after-exit {user} /run/current-system/sw/bin/cloud-sync {options}"


def peer_of(machine: QemuMachine, field: str) -> str:
    """What wg(8) shows of the only peer."""
    return machine.succeed(f"wg show wg0 {field}").split()[1]


def start_again() -> None:
    """Forgets the sessions at both ends, so that the next packet needs a handshake."""
    for machine, there in ((left, "right"), (right, "left")):
        machine.succeed("ip link set wg0 down && ip link set wg0 up")
        machine.succeed(f"ip route replace {INSIDE[there]}/32 dev wg0")


start_all()
for machine, name in ((left, "left"), (right, "right")):
    with subtest(f"{name}: cicada makes an identity; nothing of its isolation is amiss"):
        machine.wait_for_unit("cicada.service")
        machine.succeed(f"mkdir -p {SHARED} {EXCHANGE} && chmod 777 {SHARED} && mount --bind {SHARED} {EXCHANGE}")
        machine.succeed("sesame cicada init --key-file /root/unlock.key")
        machine.succeed("sesame cicada identity create cloud-sync")
        machine.succeed(f"sesame cicada identity show cloud-sync --ml-dsa > {EXCHANGE}/{name}.ml-dsa-65")
        machine.succeed("sesame cicada status")

    with subtest(f"{name}: who is in the configuration is a peer of the daemons, and may reach their sockets"):
        t.assertEqual(machine.succeed("systemctl show -P Result sesame-operators").strip(), "success")
        peers = json.loads(machine.succeed("sesame --json peer list"))["peers"]
        uid = int(machine.succeed("id --user alice"))
        t.assertIn({"name": "alice", "role": "operator", "uid": uid, "key": ALICE}, peers)
        t.assertIn("sesame", machine.succeed("id --groups --name alice").split())

with subtest("the two reach each other, and there is no tunnel yet"):
    left.wait_until_succeeds(f"ping -c 1 {OUTSIDE['right']}")
    left.fail(f"ping -c 1 -W 2 {INSIDE['right']}")

with subtest("cloud-sync makes both ends, with the keys that cicada published and one preshared key"):
    left.succeed(cloud_sync("left", "right", "initiator"))
    right.succeed(cloud_sync("right", "left", "responder"))
    for machine in (left, right):
        machine.wait_until_succeeds("systemctl show -P SubState cloud-sync | grep -Ex 'exited|failed'", 120)
        t.assertEqual(machine.succeed("systemctl show -P Result cloud-sync").strip(), "success")
        shown = machine.succeed("sesame cicada identity show cloud-sync --wg").strip()
        t.assertEqual(machine.succeed("wg show wg0 public-key").strip(), shown)
    t.assertEqual(peer_of(left, "preshared-keys"), peer_of(right, "preshared-keys"))
    t.assertNotEqual(peer_of(left, "preshared-keys"), "(none)")

with subtest("they ping each other through it"):
    left.succeed(f"ping -c 3 {INSIDE['right']}")
    right.succeed(f"ping -c 3 {INSIDE['left']}")
    t.assertNotEqual(peer_of(left, "latest-handshakes"), "0")

with subtest("with another preshared key at one end nothing comes through, and with the right one it does"):
    peer, key = left.succeed("wg show wg0 peers").strip(), peer_of(left, "preshared-keys")
    left.succeed(f"wg set wg0 peer {peer} preshared-key <(wg genpsk)")
    start_again()
    left.fail(f"ping -c 3 -W 5 {INSIDE['right']}")
    t.assertEqual(peer_of(left, "latest-handshakes"), "0")
    left.succeed(f"ping -c 1 {OUTSIDE['right']}")
    left.succeed(f"wg set wg0 peer {peer} preshared-key <(echo {key})")
    start_again()
    left.wait_until_succeeds(f"ping -c 1 {INSIDE['right']}", 60)

with subtest("who is in no group of a rule is told nothing"):
    as_nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    status, said = left.execute(f"{as_nobody} sesame cicada identity show cloud-sync 2>&1")
    # Refused by the socket's group, and for no other reason.
    t.assertEqual(status, 4, said)
    t.assertIn("a group that you are not in", said)

for machine in (left, right):
    machine.shutdown()
