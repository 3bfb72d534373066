# The program that uses cicada's keys (crates/cicada-client/examples/cloud-sync).
{ sesame }:

sesame.overrideAttrs (old: {
  pname = "cloud-sync";
  cargoBuildFlags = [
    "--package=cicada-client"
    "--example=cloud-sync"
  ];
  postInstall = ''
    install -D --target-directory=$out/bin $releaseDir/examples/cloud-sync
  '';
  passthru = { };
  meta = old.meta // {
    mainProgram = "cloud-sync";
    description = "A WireGuard tunnel with keys of cicada";
  };
})
