"""There is no network: no interface but lo, no driver to load, and nothing that could load one."""

from scenario_lib.ceremony import CeremonyConsole

start_all()
CeremonyConsole(machine).keep_state()
machine.wait_for_unit("multi-user.target")

with subtest("lo is the only interface, and there is no way out of it"):
    t.assertEqual(machine.succeed("ls /sys/class/net").split(), ["lo"])
    t.assertEqual(machine.succeed("tail -n +2 /proc/net/route"), "")

with subtest("the image has no driver of a network card, of WLAN, of Bluetooth or of a modem"):
    modules = machine.succeed("find /usr/lib/modules -name '*.ko*' -printf '%P\\n'").splitlines()
    t.assertIn("dm-verity", " ".join(modules))
    for place in ("/drivers/net/", "/drivers/bluetooth/", "/net/", "/usb/serial/", "/drivers/infiniband/"):
        t.assertEqual([module for module in modules if place in module], [])

with subtest("no module can be loaded any more"):
    t.assertEqual(machine.succeed("cat /proc/sys/kernel/modules_disabled").strip(), "1")

with subtest("nothing listens on a protocol of the network"):
    for protocol in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        t.assertEqual(machine.succeed(f"tail -q -n +2 /proc/net/{protocol} 2>/dev/null || true"), "")

with subtest("no unit would configure a network"):
    for unit in ("systemd-networkd", "systemd-resolved", "NetworkManager", "networking", "wpa_supplicant"):
        machine.fail(f"systemctl is-active {unit}.service", f"systemctl is-enabled {unit}.service")

machine.shutdown()
