//! The machine, or this process, ends while the policy is being locked.

use super::*;

#[test]
fn until_the_daemons_have_started_a_boot_takes_the_policy_back() {
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    let policy = appliance.places.policy.clone();
    let mut host = Killed { policy: policy.clone(), seen: Vec::new() };
    let request = Request::parse(FINE.as_bytes()).unwrap();
    assert_eq!(lock(&request, &appliance.places, &mut host).0, DONE);
    let unproven =
        ["sesame", "systemctl", "systemctl", "systemctl", "systemctl"].map(|p| (p, true));
    assert_eq!(host.seen, [&unproven[..], &[("sesame", false)]].concat());

    // Killed at each of the instants: before the policy, with it, after it was taken back.
    for (is_there, said) in [(false, false), (true, true)] {
        let mut host = Scripted::default();
        let _ = fs::remove_file(&policy);
        trial::begin(&policy).unwrap();
        if is_there {
            fs::write(&policy, "").unwrap();
        }
        take_back_unproven(&mut host, &policy);
        assert!(!policy.exists() && !trial::is_on(&policy));
        assert_eq!(host.heard.contains("taken back"), said, "{}", host.heard);
    }
}

/// The policy comes with the first command, and what a boot would do is seen at each.
struct Killed {
    policy: PathBuf,
    seen: Vec<(&'static str, bool)>,
}

impl Host for Killed {
    fn run(&mut self, _: &[&str]) -> io::Result<Ended> {
        unreachable!()
    }
    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        self.hear(command)
    }
    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        let program = if command[0] == "sesame" { "sesame" } else { "systemctl" };
        self.seen.push((program, trial::is_on(&self.policy)));
        if command[..3] == ["sesame", "policy", "lock"] {
            fs::write(&self.policy, "").unwrap();
        }
        Ok((Ended::Exit(0), String::new()))
    }
    fn bind(&mut self, _: std::os::fd::BorrowedFd<'_>, _: &Path) -> io::Result<()> {
        unreachable!()
    }
    fn say(&mut self, _: &str) {}
    fn ask(&mut self, _: &str) -> io::Result<String> {
        unreachable!()
    }
}

#[test]
fn a_proven_policy_outlives_every_boot() {
    let appliance = Appliance::new();
    let mut host = Scripted::default();
    fs::write(&appliance.places.policy, "").unwrap();
    take_back_unproven(&mut host, &appliance.places.policy);
    assert!(appliance.places.policy.exists() && host.heard.is_empty());
}

#[test]
fn an_interrupted_locking_is_not_called_locked() {
    let appliance = Appliance::new();
    trial::begin(&appliance.places.policy).unwrap();
    fs::write(&appliance.places.policy, "").unwrap();
    let _waiting = appliance.ask(FINE);
    let (_, room) = appliance.run(Scripted::typing(&["lock"]));
    assert!(room.is_none());
    assert!(appliance.answer().contains("start this machine anew"), "{}", appliance.answer());
}
