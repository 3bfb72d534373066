//! What of the file system the process can see and write, from `/proc/PID/mountinfo` (proc(5)).

use std::path::{Path, PathBuf};

use super::Judgement;

/// Bytes of the private /tmp.
const TMP_BYTES: u64 = 10 << 20;

/// Mounts that may be written and lead to nothing: the kernel's own views, devices that neither store
/// nor carry anything, and root's files that container runtimes bind.
const HARMLESS: [&str; 11] = [
    "/proc",
    "/dev/pts",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    id: u32,
    parent: u32,
    point: PathBuf,
    /// Of this mount, such as `ro`.
    options: String,
    kind: String,
    /// Of the file system, such as `size=10240k`.
    super_options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let (id, parent) = (left.next()?.parse().ok()?, left.next()?.parse().ok()?);
        let point = PathBuf::from(unescape(left.nth(2)?));
        let options = left.next()?.to_owned();
        let mut right = right.split(' ');
        let (kind, super_options) = (right.next()?.to_owned(), right.nth(1)?.to_owned());
        Some(Self { id, parent, point, options, kind, super_options })
    }

    fn is_read_only(&self) -> bool {
        option(&self.options, "ro").is_some() || option(&self.super_options, "ro").is_some()
    }

    /// Bytes of a tmpfs, and the mode of its root.
    fn size_and_mode(&self) -> (Option<u64>, Option<&str>) {
        let size = option(&self.super_options, "size=").and_then(|size| {
            let kilobytes = size.strip_suffix('k')?.parse::<u64>().ok()?;
            kilobytes.checked_mul(1024)
        });
        (size, option(&self.super_options, "mode="))
    }
}

/// What follows `name` in the option of that name.
fn option<'o>(options: &'o str, name: &str) -> Option<&'o str> {
    let rest = options.split(',').find_map(|option| option.strip_prefix(name))?;
    (rest.is_empty() || name.ends_with('=')).then_some(rest)
}

/// Blanks, tabs, newlines and backslashes are three octal digits after a backslash.
fn unescape(path: &str) -> String {
    let mut text = path.to_owned();
    for (octal, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(octal, character);
    }
    text
}

/// All mounts of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// From the text of `mountinfo`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mounts = text.lines().map(Mount::parse).collect::<Option<Vec<_>>>();
        match mounts {
            Some(mounts) if !mounts.is_empty() => Ok(Self(mounts)),
            _ => Err("mountinfo makes no sense".to_owned()),
        }
    }

    /// The mount that holds `path`, after everything that was mounted over something else.
    fn of(&self, path: &Path) -> Option<&Mount> {
        let known = |id: u32| self.0.iter().any(|mount| mount.id == id);
        let is_root = |mount: &&Mount| mount.point == Path::new("/") && !known(mount.parent);
        let mut current = self.0.iter().find(is_root)?;
        // The path is walked from above: the shortest mount point on it comes first.
        let next = |current: &Mount| {
            let below = |mount: &&Mount| {
                mount.parent == current.id
                    && mount.id != current.id
                    && path.starts_with(&mount.point)
            };
            self.0.iter().filter(below).min_by_key(|mount| mount.point.components().count())
        };
        while let Some(mount) = next(current) {
            current = mount;
        }
        Some(current)
    }

    /// Mount points that can be reached and written.
    fn writable(&self) -> Vec<&Mount> {
        let visible = |mount: &&Mount| self.of(&mount.point).is_some_and(|of| of.id == mount.id);
        self.0.iter().filter(visible).filter(|mount| !mount.is_read_only()).collect()
    }

    pub(super) fn root(&self) -> Judgement {
        match self.of(Path::new("/")) {
            Some(mount) if mount.is_read_only() => Ok("read-only".to_owned()),
            Some(_) => Err("writable".to_owned()),
            None => Err("can't be told".to_owned()),
        }
    }

    /// A tmpfs of 10 MiB with the mode 1700.
    pub(super) fn tmp(&self) -> Judgement {
        let Some(mount) = self.of(Path::new("/tmp")) else {
            return Err("can't be told".to_owned());
        };
        if mount.point != Path::new("/tmp") || mount.kind != "tmpfs" {
            return Err(format!("a directory of the {} on {}", mount.kind, mount.point.display()));
        }
        let (size, mode) = mount.size_and_mode();
        let found = match size {
            Some(bytes) => format!("tmpfs of {bytes} bytes, mode {}", mode.unwrap_or("1777")),
            None => "tmpfs without a limit".to_owned(),
        };
        let holds = size.is_some_and(|bytes| bytes <= TMP_BYTES) && mode == Some("1700");
        if holds { Ok(found) } else { Err(found) }
    }

    /// Nothing but `own` directories, /tmp, and what is harmless.
    pub(super) fn nothing_else_is_writable(&self, own: &[&Path]) -> Judgement {
        let harmless = |mount: &Mount| {
            let point = mount.point.as_path();
            // A container's /dev, in which only root may make anything.
            let devices = point == Path::new("/dev") && mount.kind == "tmpfs";
            HARMLESS.iter().any(|harmless| point == Path::new(harmless))
                || (devices && mount.size_and_mode().1 == Some("755"))
        };
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for mount in self.writable().into_iter().filter(|mount| !harmless(mount)) {
            let is_own = own.contains(&mount.point.as_path()) || mount.point == Path::new("/tmp");
            let list = if is_own { &mut wanted } else { &mut unwanted };
            list.push(mount.point.display().to_string());
        }
        if unwanted.is_empty() { Ok(wanted.join(", ")) } else { Err(unwanted.join(", ")) }
    }

    /// No /dev/shm (`mode` is its mode, if there is one), or one that nobody can write.
    pub(super) fn shared_memory(&self, mode: Option<u32>) -> Judgement {
        let Some(mode) = mode else { return Ok("no /dev/shm".to_owned()) };
        let read_only = self.of(Path::new("/dev/shm")).is_some_and(Mount::is_read_only);
        match (mode & 0o777, read_only) {
            (0, _) => Ok("/dev/shm is closed to everybody".to_owned()),
            (_, true) => Ok("/dev/shm is read-only".to_owned()),
            (mode, false) => Err(format!("/dev/shm is writable, mode {mode:o}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What systemd 252 made of cicada.service, shortened.
    const UNIT: &str = "\
208 190 0:41 / / ro,nosuid,relatime shared:47 - overlay overlay rw,lowerdir=/
234 208 0:55 / /dev ro,nosuid,noexec shared:63 - tmpfs tmpfs rw,size=4096k,mode=755
235 234 0:50 / /dev/pts rw,nosuid,noexec,relatime shared:64 - devpts devpts rw,gid=5,mode=620
236 234 0:48 /systemd/inaccessible/dir /dev/shm ro,nosuid,noexec - tmpfs tmpfs rw,mode=755
209 208 0:57 / /proc rw,nosuid,nodev,noexec - proc proc rw,hidepid=invisible,subset=pid
226 208 0:48 / /run ro,nosuid,relatime shared:13 - tmpfs tmpfs rw,mode=755
218 226 0:48 /cicada /run/cicada rw,nosuid,relatime shared:61 - tmpfs tmpfs rw,mode=755
224 208 0:59 / /tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=10240k,nr_inodes=409600,mode=1700
225 208 8:1 /var/lib/cicada /var/lib/cicada rw,nosuid,relatime - ext4 /dev/sda1 rw
";
    const OWN: [&str; 2] = ["/var/lib/cicada", "/run/cicada"];

    fn mounts(change: (&str, &str)) -> Mounts {
        let changed = UNIT.replace(change.0, change.1);
        assert_ne!(changed, UNIT, "{change:?} changes nothing");
        Mounts::parse(&changed).unwrap()
    }

    fn writable(mounts: &Mounts) -> Judgement {
        mounts.nothing_else_is_writable(&OWN.map(Path::new))
    }

    #[test]
    fn the_units_mounts_pass() {
        let mounts = Mounts::parse(UNIT).unwrap();
        assert!(mounts.root().is_ok());
        assert_eq!(mounts.tmp().unwrap(), "tmpfs of 10485760 bytes, mode 1700");
        assert_eq!(writable(&mounts).unwrap(), "/run/cicada, /tmp, /var/lib/cicada");
        assert!(mounts.shared_memory(Some(0o40000)).is_ok());
        assert!(mounts.shared_memory(Some(0o41777)).is_ok());
        assert!(mounts.shared_memory(None).is_ok());
    }

    #[test]
    fn a_writable_root_fails() {
        let mounts = mounts(("/ / ro,", "/ / rw,"));
        assert!(mounts.root().is_err());
        assert_eq!(writable(&mounts).unwrap_err(), "/");
    }

    #[test]
    fn a_tmp_that_is_large_open_or_the_hosts_fails() {
        for change in [
            ("size=10240k", "size=10241k"),
            ("size=10240k,", ""),
            ("mode=1700", "mode=1777"),
            (",mode=1700", ""),
            ("- tmpfs tmpfs rw,size=10240k", "- ext4 /dev/sda2 rw,size=10240k"),
            (" /tmp rw", " /elsewhere rw"),
        ] {
            assert!(mounts(change).tmp().is_err(), "{change:?}");
        }
    }

    #[test]
    fn one_more_writable_place_fails() {
        for (change, place) in [
            (("/ /run ro,", "/ /run rw,"), "/run"),
            (("/ /dev ro,", "/ /dev rw,"), ""),
            (("/dev/shm ro,", "/dev/shm rw,"), "/dev/shm"),
            (("/var/lib/cicada rw", "/var/lib/other rw"), "/var/lib/other"),
        ] {
            let judgement = writable(&mounts(change));
            // The last but one: a private /dev with the mode 755 holds no place for this user.
            assert_eq!(judgement.err().unwrap_or_default(), place, "{change:?}");
        }
        let open = mounts((
            "/dev ro,nosuid,noexec shared:63 - tmpfs tmpfs rw,size=4096k,mode=755",
            "/dev rw,nosuid,noexec shared:63 - tmpfs tmpfs rw,size=4096k,mode=1777",
        ));
        assert_eq!(writable(&open).unwrap_err(), "/dev");
    }

    #[test]
    fn a_writable_shared_memory_fails() {
        let mounts = mounts(("/dev/shm ro,", "/dev/shm rw,"));
        assert!(mounts.shared_memory(Some(0o41777)).is_err());
    }

    #[test]
    fn what_is_mounted_over_counts_and_what_is_below_does_not() {
        let over = format!("{UNIT}300 224 0:70 / /tmp rw - tmpfs tmpfs rw,size=99999k,mode=1777\n");
        assert!(Mounts::parse(&over).unwrap().tmp().is_err());
        // Below what /tmp was before, and so out of reach.
        let hidden = format!("{UNIT}302 208 0:71 / /tmp/old rw - tmpfs tmpfs rw\n");
        assert!(writable(&Mounts::parse(&hidden).unwrap()).is_ok());
    }

    #[test]
    fn text_that_makes_no_sense_is_no_isolation() {
        assert!(Mounts::parse("").is_err());
        assert!(Mounts::parse(&format!("{UNIT}nonsense\n")).is_err());
    }

    #[test]
    fn blanks_in_a_path_are_escaped() {
        let line = "1 0 0:1 / /a\\040b\\134c rw - tmpfs tmpfs rw";
        assert_eq!(Mount::parse(line).unwrap().point, Path::new("/a b\\c"));
    }
}
