//! libtss2 shares our standard error, and at `TSS2_LOG=all+debug` it writes session keys there.

#![cfg(feature = "tpm")]

use std::process::Command;

#[test]
fn libtss2_writes_nothing_whatever_its_variable_says() {
    for value in [None, Some("all+TRACE"), Some("all+NONE")] {
        // Nothing listens there, which the library would complain about.
        let mut sesame = Command::new(env!("CARGO_BIN_EXE_sesame"));
        sesame.args(["factor", "list", "--available", "--tcti", "swtpm:host=127.0.0.1,port=1"]);
        sesame.env_remove("TSS2_LOG").envs(value.map(|value| ("TSS2_LOG", value)));
        let output = sesame.output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{value:?}");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("no TPM answers"), "the library was asked: {shown}");
        assert!(output.status.success(), "{value:?}");
    }
}
