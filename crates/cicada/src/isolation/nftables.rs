//! The table `inet cicada` of the machine's packet filter, where there is nft(8).

use std::fs::File;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use super::Judgement;

/// Where Debian, Fedora and NixOS have it.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nft", "/usr/bin/nft", "/run/current-system/sw/bin/nft"];

/// nft(8), if it is installed.
pub(super) fn program() -> Option<&'static Path> {
    PROGRAMS.map(Path::new).into_iter().find(|path| path.exists())
}

/// Asks `nft` for the table in the machine's network namespace, which is process 1's: as
/// `ExecStartPost=` this program runs in the unit's.
pub(super) fn list(program: &Path) -> Result<String, String> {
    let namespace = File::open("/proc/1/ns/net")
        .map_err(|error| format!("the machine's network can't be looked at ({error})"))?;
    // Of this thread, and so of the program that it starts.
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("the machine's network can't be entered ({errno})"))?;
    let output = Command::new(program)
        .args(["--numeric", "list", "table", "inet", "cicada"])
        .env_clear()
        .output()
        .map_err(|error| format!("{} can't be run ({error})", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("nothing said");
        return Err(format!("no table inet cicada ({said}); load cicada-nftables.service"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// In the text of the table: what `uid` and `gid` send is dropped, and what reaches them. A chain must
/// begin with these rules, so that none before them lets a packet through, and the table must be awake.
pub(super) fn drops(table: &str, uid: u32, gid: u32) -> Judgement {
    if table.lines().any(|line| line.trim().starts_with("flags ")) {
        return Err("the table has flags, and may be dormant".to_owned());
    }
    for hook in ["output", "input"] {
        let chain = chain(table, hook).ok_or_else(|| format!("no chain at the hook {hook}"))?;
        for (key, id) in [("skuid", uid), ("skgid", gid)] {
            let first = chain.iter().take(2).filter(|line| drops_all_of(line, key, id));
            if first.count() != 1 {
                return Err(format!("{key} {id} is not dropped first at the hook {hook}"));
            }
        }
    }
    Ok(format!("uid {uid} and gid {gid} are dropped, in and out"))
}

/// `meta skuid 991 counter packets 0 bytes 0 drop`, with or without the counter, and no condition more.
fn drops_all_of(line: &str, key: &str, id: u32) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = id.to_string();
    match words.as_slice() {
        ["meta", k, i, "drop"] => *k == key && *i == id,
        ["meta", k, i, "counter", "packets", _, "bytes", _, "drop"] => *k == key && *i == id,
        _ => false,
    }
}

/// The rules of the chain at a hook.
fn chain<'t>(table: &'t str, hook: &str) -> Option<Vec<&'t str>> {
    let start = format!("type filter hook {hook} ");
    let mut lines = table.lines().map(str::trim).skip_while(|line| !line.starts_with(&start));
    lines.next()?;
    Some(lines.take_while(|line| *line != "}").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "table inet cicada {
\tchain output {
\t\ttype filter hook output priority -300; policy accept;
\t\tmeta skuid 991 counter packets 0 bytes 0 drop
\t\tmeta skgid 990 counter packets 0 bytes 0 drop
\t}

\tchain input {
\t\ttype filter hook input priority -300; policy accept;
\t\tmeta skuid 991 counter packets 0 bytes 0 drop
\t\tmeta skgid 990 counter packets 0 bytes 0 drop
\t}
}
";

    #[test]
    fn the_table_passes_for_its_user_only() {
        assert!(drops(TABLE, 991, 990).is_ok());
        assert!(drops(TABLE, 99, 990).is_err());
        assert!(drops(TABLE, 991, 0).is_err());
    }

    #[test]
    fn a_table_that_lets_something_through_fails() {
        for (from, to) in [
            ("hook output", "hook forward"),
            ("hook input", "hook forward"),
            ("bytes 0 drop", "bytes 0 accept"),
            ("meta skuid 991", "meta skuid != 991"),
            ("meta skuid 991", "meta skuid 991 ip daddr 10.0.0.1"),
            ("meta skgid 990", "accept\n\t\tmeta skgid 990"),
            ("cicada {", "cicada {\n\tflags dormant"),
        ] {
            assert!(drops(&TABLE.replace(from, to), 991, 990).is_err(), "{to}");
        }
        let one = TABLE.replacen("meta skgid 990 counter packets 0 bytes 0 drop", "", 1);
        assert!(drops(&one, 991, 990).is_err());
        assert!(drops("", 991, 990).is_err());
    }
}
