# The first program of the initrd (crates/initrd-guard). It is static: at its time nothing else can be started.
{

  sesame,
  stdenv,
}:

sesame.overrideAttrs (old: {
  pname = "initrd-guard";
  cargoBuildFlags = [ "--package=initrd-guard" ];
  env = old.env // {
    RUSTFLAGS = "${old.env.RUSTFLAGS} -Ctarget-feature=+crt-static";
  };
  buildInputs = old.buildInputs ++ [ stdenv.cc.libc.static ];
  postInstall = "";
  doInstallCheck = true;
  # Its constants are those of Debian's tree; ./uki.nix has the same places.
  installCheckPhase = ''
    if readelf --program-headers $out/bin/initrd-guard | grep --quiet INTERP; then
      echo "initrd-guard is not static" >&2
      exit 1
    fi
  '';
  passthru = { };
  meta = removeAttrs old.meta [ "mainProgram" ] // {
    mainProgram = "initrd-guard";
    description = "Goes on with the medium's own kernel command line, and with no other";
  };
})
