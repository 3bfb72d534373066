# What `cargo xtask` and the tests of the workspace need.
{
  mkShell,
  sesame,
  cargo,
  cargo-deny,
  clippy,
  deadnix,
  nixfmt,
  rustc,
  rustfmt,
  nftables,
  openssh,
  swtpm,
  wireguard-tools,
}:

mkShell {
  inputsFrom = [ sesame ];
  packages = [
    cargo
    cargo-deny
    clippy
    deadnix
    nixfmt
    rustc
    rustfmt
    nftables
    openssh
    swtpm
    wireguard-tools
  ];
}
