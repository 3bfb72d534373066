{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  pkg-config,
  libfido2,
  nftables,
  openssl,
  tpm2-tss,
  zlib,
}:

let
  fs = lib.fileset;
  workspace = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage (finalAttrs: {
  pname = "sesame";
  inherit (workspace.workspace.package) version;

  # Of cargo's files and the crates, everything but what Nix itself reads.
  src = fs.toSource {
    root = ../.;
    fileset = fs.unions [
      ../.cargo/config.toml
      ../Cargo.lock
      ../Cargo.toml
      (fs.fileFilter (file: !file.hasExt "nix") ./.)
    ];
  };

  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = map (program: "--package=${program}") finalAttrs.passthru.programs;

  # nixpkgs' flags per target would replace those that the workspace has for every one.
  env.RUSTFLAGS = toString (
    (lib.importTOML ../.cargo/config.toml).build.rustflags ++ [ "-Cforce-frame-pointers=yes" ]
  );

  nativeBuildInputs = [
    installShellFiles
    pkg-config
    rustPlatform.bindgenHook
  ];
  buildInputs = [
    libfido2
    openssl
    tpm2-tss
    zlib
  ];

  # The flake's checks run the tests: they need more than the package does.
  doCheck = false;

  postInstall = ''
    for program in ${toString (lib.remove "sesame" finalAttrs.passthru.programs)}; do
      install -D --target-directory=$out/libexec/sesame $out/bin/$program
      rm $out/bin/$program
    done

    systemd=crates/daemon-runtime/systemd
    packaging=crates/cicada/packaging
    install -Dm644 --target-directory=$out/lib/systemd/system $systemd/system/*
    install -Dm644 --target-directory=$out/lib/sysusers.d $systemd/sysusers.d/*
    install -Dm644 --target-directory=$out/lib/tmpfiles.d $systemd/tmpfiles.d/*
    install -Dm644 --target-directory=$out/share/sesame \
      $packaging/cicada.toml $packaging/nftables/cicada.nft $packaging/container/seccomp.json

    # What the files of every distribution say of programs and data, as it is here.
    find $out/lib $out/share/sesame -type f -exec sed --in-place \
      --expression="s|/usr/libexec/sesame/|$out/libexec/sesame/|g" \
      --expression="s|/usr/bin/sesame|$out/bin/sesame|g" \
      --expression="s|/usr/share/sesame/|$out/share/sesame/|g" \
      --expression="s|/usr/sbin/nft|${lib.getExe nftables}|g" {} +
    if grep --recursive /usr/ $out/lib $out/share/sesame; then
      echo "these paths are of another distribution" >&2
      exit 1
    fi
  ''
  + lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    installShellCompletion --cmd sesame \
      --bash <($out/bin/sesame completions bash) \
      --fish <($out/bin/sesame completions fish) \
      --zsh <($out/bin/sesame completions zsh)
    mkdir man
    $out/bin/sesame man man
    installManPage man/*
  '';

  passthru.programs = [
    "sesame"
    "daemon-audit"
    "daemon-secrets"
    "cicada"
    "ceremony-console"
  ];

  meta = {
    description = "Key ceremonies without a network, and daemons that keep a host's keys";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "sesame";
    platforms = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
})
