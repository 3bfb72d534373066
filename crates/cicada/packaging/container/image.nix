# The container that Containerfile describes, with nothing but the daemon and the libraries that it links.
{
  dockerTools,
  runCommand,
  sesame,
}:

let
  daemon = runCommand "cicada-${sesame.version}" { } ''
    install -D --target-directory=$out/usr/libexec/sesame ${sesame}/libexec/sesame/cicada
  '';
in
dockerTools.buildLayeredImage {
  name = "cicada";
  tag = sesame.version;
  contents = [ daemon ];
  # Where compose.yaml mounts something; the root is read-only.
  extraCommands = ''
    mkdir -p etc/pds etc/cicada run/cicada run/pds/audit run/credentials/cicada tmp var/lib/cicada
  '';
  config.Entrypoint = [ "/usr/libexec/sesame/cicada" ];
}
