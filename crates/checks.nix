# The workspace's own checks, each a derivation.
{ pkgs }:

let
  inherit (pkgs) lib;
  fs = lib.fileset;

  # Tests read files beside the crates.
  source = fs.toSource {
    root = ../.;
    fileset = fs.unions [
      ../.cargo/config.toml
      ../Cargo.lock
      ../Cargo.toml
      ../clippy.toml
      ../images
      ../rustfmt.toml
      ../vm-tests
      ./.
    ];
  };

  cargo =
    name: inputs: command:
    pkgs.sesame.overrideAttrs (package: {
      pname = "sesame-${name}";
      src = source;
      nativeBuildInputs = package.nativeBuildInputs ++ inputs;
      buildPhase = ''
        runHook preBuild
        ${command}
        runHook postBuild
      '';
      dontCargoInstall = true;
      postInstall = "";
      installPhase = "touch $out";
    });
in
{
  package = pkgs.sesame;

  clippy = cargo "clippy" [
    pkgs.clippy
  ] "cargo clippy --offline --locked --workspace --all-targets -- --deny warnings";

  # The test bed boots machines and drives devices, and is for `cargo xtask test`; so are the builders of images.
  tests = cargo "tests" [ ] ''
    cargo test --offline --locked --workspace --exclude testbed --exclude image --exclude xtask
  '';

  rustfmt =
    pkgs.runCommand "sesame-rustfmt"
      {
        nativeBuildInputs = [
          pkgs.cargo
          pkgs.rustfmt
        ];
      }
      ''
        cd ${source}
        cargo fmt --all --check
        touch $out
      '';

  nixfmt =
    let
      files = fs.toSource {
        root = ../.;
        fileset = fs.unions (
          [ ../flake.nix ]
          ++ map (fs.fileFilter (file: file.hasExt "nix")) [
            ../images
            ../modules
            ../vm-tests
            ./.
          ]
        );
      };
    in
    pkgs.runCommand "sesame-nixfmt"
      {
        nativeBuildInputs = [
          pkgs.deadnix
          pkgs.nixfmt
        ];
      }
      ''
        find ${files} -name '*.nix' -exec nixfmt --check {} +
        deadnix --fail ${files}
        touch $out
      '';
}
