//! What a package installs, laid over a machine that is going to boot.

use std::path::{Path, PathBuf};

use testbed::binary;
use testbed::booted::Layer;

/// A file of this repository.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Units, users, directories and programs; nothing is made or started.
pub fn installed() -> Layer {
    let systemd = shipped("daemon-runtime/systemd");
    let mut layer = Layer::new();
    for (kind, place) in [
        ("system", "/etc/systemd/system"),
        ("sysusers.d", "/usr/lib/sysusers.d"),
        ("tmpfiles.d", "/usr/lib/tmpfiles.d"),
    ] {
        for file in std::fs::read_dir(systemd.join(kind)).expect("shipped").flatten() {
            let name = file.file_name().into_string().expect("a name");
            layer = layer.copy(&file.path(), &format!("{place}/{name}"));
        }
    }
    let packaging = shipped("cicada/packaging");
    layer = layer
        .copy(&packaging.join("cicada.toml"), "/usr/share/sesame/cicada.toml")
        .copy(&packaging.join("nftables/cicada.nft"), "/usr/share/sesame/cicada.nft")
        .copy(&binary("sesame"), "/usr/bin/sesame");
    for daemon in ["daemon-audit", "daemon-secrets", "cicada"] {
        layer = layer.copy(&binary(daemon), &format!("/usr/libexec/sesame/{daemon}"));
    }
    layer
}
