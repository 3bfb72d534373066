//! What a person reads when a file is wrong: every text, in one snapshot.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use site_config::durable::write_atomically;
use site_config::{BindTo, Installation, Layout, LayoutError, Peers, Site};

struct Catalogue {
    dir: tempfile::TempDir,
    text: String,
}

impl Catalogue {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), text: String::new() }
    }

    fn write(&self, name: &str, content: &[u8]) {
        write_atomically(&self.dir.path().join(name), content, 0o644).unwrap();
    }

    fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.dir.path().join(name));
    }

    fn note(&mut self, what: &str, error: &dyn Error) {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(chain, ": {error}").unwrap();
            cause = error.source();
        }
        let chain = chain.replace(self.dir.path().to_str().unwrap(), "DIR");
        assert!(!chain.contains(char::is_control), "{chain:?}");
        writeln!(self.text, "{what}\n    {chain}\n").unwrap();
    }

    fn load(&self, overrides: &[(&str, String)]) -> Result<Site, site_config::ConfigError> {
        Site::load_with(Layout::dir(self.dir.path()).unwrap(), overrides)
    }

    fn config(&mut self, content: &str) {
        self.config_bytes(content, content.as_bytes());
    }

    fn config_bytes(&mut self, what: &str, content: &[u8]) {
        self.write("config.toml", content);
        let error = self.load(&[]).expect_err(what);
        self.note(&format!("config: {}", what.escape_debug()), &error);
        self.remove("config.toml");
    }

    fn policy(&mut self, content: &str) {
        self.write("policy.toml", content.as_bytes());
        let error = self.load(&[]).expect_err(content);
        self.note(&format!("policy: {}", content.escape_debug()), &error);
        self.remove("policy.toml");
    }
}

fn entry(key: &str, value: &str) -> String {
    format!("[[policy]]\nkey = \"{key}\"\nvalue = {value}\nsource = \"NIST SP 800-57\"\n")
}

#[test]
fn configuration() {
    let mut all = Catalogue::new();
    all.config("[crypto]\nkfd = \"argon2id\"\n");
    all.config("[colours]\nscheme = \"dark\"\n");
    all.config("[security]\nkdf = \"argon2id\"\n");
    all.config("[unlok]\n");
    all.config("kdf = \"argon2id\"\n");
    all.config("\"crypto.kdf\" = \"argon2id\"\n");
    all.config("[crypto]\nkdf = \"md5\"\n");
    all.config("[crypto]\nkdf = 1\n");
    all.config("[crypto.kdf]\nname = \"argon2id\"\n");
    all.config("[unlock]\nfree_attempts = 11\n");
    all.config("[unlock]\nfree_attempts = -1\n");
    all.config("[unlock]\nfree_attempts = \"two\"\n");
    all.config("[unlock]\nfree_attempts = 99999999999999999999999\n");
    all.config("[enrolment]\nallow_below_floor = \"yes\"\n");
    all.config("[unlock]\nbackoff_base_seconds = 10\nbackoff_max_seconds = 5\n");
    all.config("[crypto]\nnoise_hash = \"sha256\"\nminimum_peer_profile = \"leading-edge\"\n");
    all.config("[crypto]\n\n[crypto]\n");
    all.config("[crypto]\nkdf = \"argon2id\"\nkdf = \"argon2id\"\n");
    all.config("[crypto]\nkdf = \"argo");
    all.config("[cry");
    all.config("[\"\\u001b[31m\"]\nx = 1\n");
    all.config("[crypto]\nkdf = \"\\u001b[31m\"\n");
    all.config("[auth]\nmod = \"all\"\n");
    all.config("[auth]\nmode = \"al\"\n");
    all.config("[auth]\nrequired = [\"tpm\"]\n");
    all.config("[auth]\npolicy = \"all\"\n");
    all.config("[[auth.policy]]\nrequired = [\"tpm\"]\n");
    all.config("unlock = 3\n");
    all.config("[auth.mode]\nname = \"all\"\n");
    all.config("[auth.policy]\nreqired = [\"tpm\"]\n");
    all.config("[auth.policy]\nmode = \"all\"\n");
    all.config("[auth.polcy]\n");
    all.config("[auth.polcy]\nrequired = [\"tpm\"]\n");
    all.config("[\"auth.policy\"]\nrequired = [\"tpm\"]\n");
    all.config("[auth.policy.required]\nkinds = [\"tpm\"]\n");
    all.config("[auth.policy]\nrequired = \"tpm\"\n");
    all.config("[auth.policy]\nrequired = [\"tpm\", 1]\n");
    all.config("[auth.policy]\nrequired = [\"tpm\", \"pasword\"]\n");
    all.config("[auth.policy]\nrequired = [\"retina\\u001b[31m\"]\n");
    all.config("[auth.policy]\nrequired = [\"tpm\", \"tpm\"]\n");
    all.config("[auth.policy]\nadditional_required = 17\n");
    all.config("[auth.policy]\nrequired = [\"password\", \"tpm\"]\n");
    all.config("[auth]\nmode = \"all\"\n[auth.policy]\nadditional_required = 1\n");
    all.config("[auth]\nmode = \"policy\"\n");
    all.config("[unlock]\ndeadline_seconds = 9\n");
    all.config_bytes("NUL bytes", b"[crypto]\n\0\0\0");
    all.config_bytes("not UTF-8", b"[crypto]\n# \xff\n");
    all.config_bytes("more than 1 MiB", &b"#".repeat((1 << 20) + 1));

    std::fs::create_dir(all.dir.path().join("config.toml")).unwrap();
    let error = all.load(&[]).unwrap_err();
    all.note("config: a directory", &error);
    std::fs::remove_dir(all.dir.path().join("config.toml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", all.dir.path().join("config.toml")).unwrap();
    let error = all.load(&[]).unwrap_err();
    all.note("config: a dangling link", &error);
    all.remove("config.toml");

    for (key, value) in [
        ("memory.protecton", "off"),
        ("memory.protection", "maybe"),
        ("auth.policy.required", "password,yubi-key"),
        ("auth.policy.required", "password,password"),
        ("auth.policy", "password"),
    ] {
        let error = all.load(&[(key, value.to_owned())]).unwrap_err();
        all.note(&format!("option: {key}={value}"), &error);
    }
    insta::assert_snapshot!(all.text);
}

#[test]
fn policies() {
    let mut all = Catalogue::new();
    all.policy("");
    all.policy("[policy]\nkey = \"crypto.kdf\"\n");
    all.policy("policy = [1]\n");
    all.policy("[[policies]]\nkey = \"crypto.kdf\"\n");
    all.policy("[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"argon2id\"\n");
    all.policy("[[policy]]\nkey = \"crypto.kdf\"\nsource = \"x\"\n");
    all.policy("[[policy]]\nvalue = \"argon2id\"\nsource = \"x\"\n");
    all.policy(
        "[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"argon2id\"\nsource = \"x\"\nnote = 1\n",
    );
    all.policy("[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"argon2id\"\nsource = \" \"\n");
    all.policy("[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"argon2id\"\nsource = \"a\\nb\"\n");
    all.policy("[[policy]]\nkey = 1\nvalue = \"argon2id\"\nsource = \"x\"\n");
    all.policy(&entry("crypto.kfd", "\"argon2id\""));
    all.policy(&entry("kernel.lockdown", "true"));
    all.policy(&entry("crypto.kdf", "\"scrypt\""));
    all.policy(&entry("unlock.free_attempts", "true"));
    all.policy(&entry("unlock.free_attempts", "11"));
    all.policy(&entry("crypto.kdf", "\"argon2id\"").repeat(2));
    all.policy(&entry("auth.policy", "\"all\""));
    all.policy(&entry("auth.policy.required", "\"password,tpm\""));
    all.policy(&entry("auth.policy.required", "[\"pass\"]"));
    all.policy(&entry("auth.policy.required", "[\"tpm\", \"tpm\"]"));
    all.policy(&entry("auth.policy.required", "[\"tpm\"]"));
    all.policy(&entry("auth.mode", "\"policy\""));
    let conflict =
        entry("crypto.profile", "\"governance-compatible\"") + &entry("crypto.kdf", "\"argon2id\"");
    all.policy(&conflict);

    all.write("policy.toml", entry("memory.protection", "\"require\"").as_bytes());
    all.config("[memory]\nprotection = \"off\"\n");
    let error = all.load(&[("memory.protection", "prefer".to_owned())]).unwrap_err();
    all.note("option against the policy", &error);
    all.write("policy.toml", entry("auth.policy.required", "[\"password\"]").as_bytes());
    all.config("auth.mode = \"policy\"\nauth.policy.required = [\"tpm\"]\n");
    all.config("auth.mode = \"any\"\n");
    all.write("policy.toml", entry("crypto.profile", "\"governance-compatible\"").as_bytes());
    all.config("[crypto]\nnoise_cipher = \"chachapoly\"\n");
    all.write("policy.toml", entry("crypto.kdf", "\"pbkdf2-sha256\"").as_bytes());
    all.config("[crypto]\nprofile = \"leading-edge\"\n");

    let policy = all.dir.path().join("policy.toml");
    write_atomically(&policy, entry("crypto.kdf", "\"argon2id\"").as_bytes(), 0o664).unwrap();
    let error = all.load(&[]).unwrap_err();
    all.note("policy: writable by its group", &error);
    insta::assert_snapshot!(all.text);
}

const DAEMONS: &str = "\
[[peer]]\nname = \"daemon-audit\"\nrole = \"daemon-audit\"\nuid = 1\n\
key = \"0101010101010101010101010101010101010101010101010101010101010101\"\n\
[[peer]]\nname = \"daemon-secrets\"\nrole = \"daemon-secrets\"\nuid = 1\n\
key = \"0202020202020202020202020202020202020202020202020202020202020202\"\n";

#[test]
fn peers() {
    let mut all = Catalogue::new();
    let path = all.dir.path().join("peers.toml");
    let error = Peers::load(&path).unwrap_err();
    all.note("absent", &error);
    let other = |text: &str, change: [&str; 2]| text.replace(change[0], change[1]);
    for (what, text) in [
        ("empty", String::new()),
        ("no daemons", "peer = []\n".to_owned()),
        ("two daemons", other(DAEMONS, ["role = \"daemon-secrets\"", "role = \"daemon-audit\""])),
        ("one name", other(DAEMONS, ["name = \"daemon-secrets\"", "name = \"daemon-audit\""])),
        ("one key", other(DAEMONS, ["02", "01"])),
        ("zero key", other(DAEMONS, ["02", "00"])),
        ("upper case", other(DAEMONS, ["02", "0A"])),
        ("short key", other(DAEMONS, ["02020202\"", "\""])),
        ("bad role", other(DAEMONS, ["role = \"daemon-secrets\"", "role = \"root\""])),
        ("bad name", other(DAEMONS, ["name = \"daemon-secrets\"", "name = \"../x\""])),
        ("bad uid", other(DAEMONS, ["uid = 1", "uid = -1"])),
        ("no uid", other(DAEMONS, ["uid = 1\n", ""])),
        ("unknown field", other(DAEMONS, ["uid = 1\n", "uid = 1\ngid = 1\n"])),
        ("unknown table", format!("[groups]\n{DAEMONS}")),
    ] {
        all.write("peers.toml", text.as_bytes());
        let error = Peers::load(&path).expect_err(what);
        all.note(what, &error);
    }
    write_atomically(&path, DAEMONS.as_bytes(), 0o666).unwrap();
    let error = Peers::load(&path).unwrap_err();
    all.note("writable", &error);
    insta::assert_snapshot!(all.text);
}

#[test]
fn installations_and_machines() {
    let mut all = Catalogue::new();
    let path = all.dir.path().join("installation.toml");
    let machine = all.dir.path().join("machine-id");
    let error = Installation::load(&path).unwrap_err();
    all.note("absent", &error);
    let good = "id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\n\
                created = \"2026-03-01T12:00:00Z\"\n";
    for (what, text) in [
        ("empty", String::new()),
        ("no UUID", good.replace("6e2f", "zzzz")),
        ("version 1", good.replace("4a53", "1a53")),
        ("not a time", good.replace("T12:00:00Z", "")),
        ("bad org", format!("org = \"Org/x\"\n{good}")),
        ("bad binding", format!("machine_binding = \"00\"\n{good}")),
        ("a binding that is left out, not named", format!("machine_binding = \"none\"\n{good}")),
        ("unknown field", format!("owner = \"me\"\n{good}")),
    ] {
        all.write("installation.toml", text.as_bytes());
        let error = Installation::load(&path).expect_err(what);
        all.note(what, &error);
    }
    all.write("machine-id", b"0123456789abcdef0123456789abcdef\n");
    let created = "2026-03-01T12:00:00Z".to_owned();
    let mut bound = Installation::new(None, BindTo::MachineId(&machine), created).unwrap();
    let fixed = site_config::Installation::parse(good, &path).unwrap();
    for (what, content) in [
        ("no machine", ""),
        ("first boot", "uninitialized\n"),
        ("short", "0123\n"),
        ("zeros", "00000000000000000000000000000000\n"),
    ] {
        all.write("machine-id", content.as_bytes());
        let error = bound.check_machine(&machine).expect_err(what);
        all.note(what, &error);
    }
    bound.id = fixed.id;
    all.write("machine-id", b"ffffffffffffffffffffffffffffffff\n");
    let error = bound.check_machine(&machine).unwrap_err();
    all.note("another machine", &error);
    all.remove("machine-id");
    let error = bound.check_machine(&machine).unwrap_err();
    all.note("no file", &error);
    let error = Installation::new(None, BindTo::Nothing, "yesterday".to_owned()).unwrap_err();
    all.note("not a time", &error);
    insta::assert_snapshot!(all.text);
}

#[test]
fn layouts() {
    let mut all = Catalogue::new();
    let long = format!("/{}", "d".repeat(100));
    let error = Layout::dir(Path::new(&long)).unwrap_err();
    all.note("a long DIR", &error);
    all.note("no runtime directory", &LayoutError::NoRuntimeDir);
    all.note("no home", &LayoutError::NoHome);
    let error = Layout::dir(Path::new("")).unwrap_err();
    all.note("an empty DIR", &error);
    for error in [
        "A".parse::<site_config::ProfileName>().unwrap_err(),
        "A".parse::<site_config::PeerName>().unwrap_err(),
        "A".parse::<site_config::OrgNamespace>().unwrap_err(),
        " ".parse::<site_config::SecretName>().unwrap_err(),
    ] {
        all.note("a name", &error);
    }
    insta::assert_snapshot!(all.text);
}
