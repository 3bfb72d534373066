//! Processes as a whole: how long they take, how much they hold, how large they are.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use site_config::Daemon;
use testbed::{Host, binary};

use crate::floors::median;
use crate::requests;
use crate::table::Table;

const DAEMONS: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

/// The median time from start to READY of each daemon; both are running afterwards.
pub fn start_to_ready(host: &mut Host) -> [Duration; 2] {
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..9 {
        host.stop();
        for (daemon, times) in DAEMONS.into_iter().zip(&mut times) {
            let start = Instant::now();
            host.try_start(daemon).expect("the daemon starts");
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// Lines for what [`start_to_ready`] measured.
pub fn ready(times: &[Duration; 2], table: &mut Table) {
    for (daemon, time) in DAEMONS.iter().zip(times) {
        let what = format!("{} to READY", daemon.as_str());
        table.at_most(&what, time.as_secs_f64() * 1e3, 30.0, "ms", "from the start of its process");
    }
}

/// `sesame secret get` against `sesame --version`, each as a process.
pub fn command(host: &Host, table: &mut Table) {
    let run = |arguments: &[&str]| {
        let status = Command::new(binary("sesame"))
            .args(arguments)
            .env_clear()
            .env("SESAME_DIR", host.dir())
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    };
    // The operator's key is its user's; here that is who runs us.
    let version = median(100, || run(&["--version"]));
    let get = median(100, || run(&["secret", "get", "bench"]));
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    table.at_most(
        "sesame secret get, as a process",
        millis(get) / millis(version),
        2.0,
        "times",
        &format!("{:.2} ms against --version, {:.2} ms", millis(get), millis(version)),
    );
}

/// Resident memory of each daemon after all of the above, once the working memory of the last
/// unlock is given back.
pub fn memory(host: &Host, table: &mut Table) {
    std::thread::sleep(requests::WORKING_MEMORY_IS_RELEASED_AFTER);
    for daemon in DAEMONS {
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid(daemon)));
        let status = status.expect("a running daemon");
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
            line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0)
        };
        let what = format!("{} in memory", daemon.as_str());
        let detail = format!(
            "VmRSS: {:.1} MB of it its own, {:.1} MB files and secret pages; peak {:.1} MB",
            field("RssAnon:") / 1024.0,
            (field("RssFile:") + field("RssShmem:")) / 1024.0,
            field("VmHWM:") / 1024.0
        );
        table.at_most(&what, field("VmRSS:") / 1024.0, 10.0, "MB", &detail);
    }
}

/// Sizes of the three binaries.
pub fn sizes(table: &mut Table) {
    let megabytes =
        |name: &str| fs::metadata(binary(name)).map_or(0.0, |file| file.len() as f64) / 1e6;
    table.at_most("sesame on disk", megabytes("sesame"), 6.0, "MB", "stripped");
    for daemon in DAEMONS {
        let name = daemon.as_str();
        table.figure(&format!("{name} on disk"), format!("{:.2} MB", megabytes(name)), "stripped");
    }
}
