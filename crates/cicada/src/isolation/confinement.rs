//! What every thread must have given up: identity, capabilities, privileges to come, system calls.

use super::Judgement;
use super::process::field;

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// Neither root's user id nor root's group in any of the four roles, and the same on each thread.
pub(super) fn identity(threads: &[String]) -> Judgement {
    let of = |status: &String| Some((ids(status, "Uid")?, ids(status, "Gid")?));
    let (uid, gid) = match threads.iter().map(of).collect::<Option<Vec<_>>>().as_deref() {
        Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => *first,
        Some([_, ..]) => return Err("the threads differ".to_owned()),
        _ => return Err("the user can't be read".to_owned()),
    };
    let found = format!("uid {}, gid {}", uid[0], gid[0]);
    if uid.contains(&0) || gid.contains(&0) {
        return Err(format!("{found}; saved ids {uid:?} and {gid:?} have root's"));
    }
    Ok(found)
}

/// The real, effective, saved and file-system id.
fn ids(status: &str, key: &str) -> Option<[u32; 4]> {
    let ids: Vec<u32> =
        field(status, key)?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    ids.try_into().ok()
}

/// No capability in any set of any thread. Without `bounding`, that set is left out: only root may
/// empty it, and `no_new_privs` keeps it from mattering.
pub(super) fn capabilities(threads: &[String], bounding: bool) -> Judgement {
    let sets = SETS.into_iter().filter(|set| bounding || *set != "CapBnd");
    let lacking = |status: &&String| {
        let value = |set| u64::from_str_radix(field(status, set)?, 16).ok();
        sets.clone().all(|set| value(set) == Some(0))
    };
    let without = threads.iter().filter(lacking).count();
    all(without, threads.len(), format!("none on {without} of {} threads", threads.len()))
}

pub(super) fn no_new_privileges(threads: &[String]) -> Judgement {
    let set = threads.iter().filter(|status| field(status, "NoNewPrivs") == Some("1")).count();
    all(set, threads.len(), format!("set on {set} of {} threads", threads.len()))
}

/// `at_least` as many filters on each thread, and as many on one as on the other: the daemon's own
/// comes last, and a thread that missed it has fewer.
pub(super) fn seccomp(threads: &[String], at_least: u32) -> Judgement {
    let filters = |status: &String| match field(status, "Seccomp") {
        // Kernels before 5.9 don't count them; one there is.
        Some("2") => field(status, "Seccomp_filters").map_or(Some(1), |text| text.parse().ok()),
        _ => None,
    };
    let counts: Vec<u32> = threads.iter().map(|status| filters(status).unwrap_or(0)).collect();
    let (fewest, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    let filtered = counts.iter().filter(|count| **count >= at_least.max(1)).count();
    let found = format!("filters on {filtered} of {} threads", threads.len());
    if fewest != most {
        return Err(format!("{found}, {fewest} on one and {most} on another"));
    }
    all(filtered, threads.len(), format!("{found}, {most} on each"))
}

/// No core dump, whatever happens; `limits` of the process.
pub(super) fn core_limit(limits: &str) -> Judgement {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let mut words = line.unwrap_or_default().split_whitespace();
    let (soft, hard) = (words.next().unwrap_or("?"), words.next().unwrap_or("?"));
    let found = format!("core dumps of soft {soft}, hard {hard} bytes");
    if (soft, hard) == ("0", "0") { Ok(found) } else { Err(found) }
}

fn all(count: usize, total: usize, found: String) -> Judgement {
    if total > 0 && count == total { Ok(found) } else { Err(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFINED: &str = "Name:\tcicada\nUid:\t991\t991\t991\t991\nGid:\t994\t994\t994\t994\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t9\n";

    fn threads(change: (&str, &str)) -> Vec<String> {
        let changed = CONFINED.replace(change.0, change.1);
        assert_ne!(changed, CONFINED, "{change:?} changes nothing");
        vec![CONFINED.to_owned(), changed]
    }

    #[test]
    fn confined_threads_pass() {
        let two = vec![CONFINED.to_owned(); 2];
        assert_eq!(identity(&two).unwrap(), "uid 991, gid 994");
        assert_eq!(capabilities(&two, true).unwrap(), "none on 2 of 2 threads");
        assert_eq!(no_new_privileges(&two).unwrap(), "set on 2 of 2 threads");
        assert_eq!(seccomp(&two, 1).unwrap(), "filters on 2 of 2 threads, 9 on each");
    }

    #[test]
    fn roots_ids_fail_in_every_role() {
        for (from, to) in [
            ("Uid:\t991\t991\t991\t991", "Uid:\t0\t0\t0\t0"),
            ("Uid:\t991\t991\t991\t991", "Uid:\t991\t991\t0\t991"),
            ("Gid:\t994\t994\t994\t994", "Gid:\t994\t0\t994\t994"),
        ] {
            let changed = vec![CONFINED.replace(from, to); 2];
            assert!(identity(&changed).is_err(), "{to}");
        }
    }

    #[test]
    fn threads_of_two_users_fail() {
        assert!(identity(&threads(("Uid:\t991", "Uid:\t992"))).is_err());
        assert!(identity(&threads(("Uid:\t991", "Uid:\tx"))).is_err());
        assert!(identity(&[]).is_err());
    }

    #[test]
    fn one_capability_in_one_set_of_one_thread_fails() {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let none = format!("{set}:\t0000000000000000");
            let one = format!("{set}:\t0000000000000400");
            let found = capabilities(&threads((&none, &one)), true).unwrap_err();
            assert_eq!(found, "none on 1 of 2 threads", "{set}");
            assert!(capabilities(&threads((&none, "")), true).is_err(), "{set} is not there");
        }
        let full = threads(("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"));
        assert!(capabilities(&full, false).is_ok());
        assert!(capabilities(&[], true).is_err());
    }

    #[test]
    fn one_thread_without_no_new_privileges_fails() {
        assert!(no_new_privileges(&threads(("NoNewPrivs:\t1", "NoNewPrivs:\t0"))).is_err());
        assert!(no_new_privileges(&[]).is_err());
    }

    #[test]
    fn one_thread_with_no_filter_or_fewer_fails() {
        for change in [
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Seccomp:\t2", "Seccomp:\t1"),
            ("Seccomp_filters:\t9", "Seccomp_filters:\t8"),
        ] {
            assert!(seccomp(&threads(change), 1).is_err(), "{change:?}");
        }
        assert!(seccomp(&vec![CONFINED.to_owned(); 2], 10).is_err());
        assert!(seccomp(&[], 0).is_err());
    }

    #[test]
    fn a_core_dump_of_any_size_fails() {
        let limits = |soft, hard| format!("Max core file size        {soft}  {hard}   bytes\n");
        assert!(core_limit(&limits("0", "0")).is_ok());
        for (soft, hard) in [("0", "unlimited"), ("4096", "4096")] {
            assert!(core_limit(&limits(soft, hard)).is_err());
        }
        assert!(core_limit("").is_err());
    }
}
