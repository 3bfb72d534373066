//! The thin path: everything once, as different users.

use testbed::Host;

#[test]
fn a_secret_goes_in_and_comes_out() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "db/password"]).stdin("hunter2").succeed();
    let value = host.sesame(["secret", "get", "db/password"]).run();
    assert_eq!(value.stdout, b"hunter2");
    assert_eq!(host.sesame(["secret", "list"]).succeed(), "db/password\n");
    host.sesame(["audit", "verify"]).succeed();
    host.sesame(["lock"]).succeed();
    host.sesame(["secret", "get", "db/password"]).fail(5);
    host.stop();
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "db/password"]).run().stdout, b"hunter2");
}
